-- The database's clock, as an expression.
CLOCK_TIMESTAMP()
