-- The database's clock, as an expression to stand in a statement.
-- noqa: disable=PRS
CLOCK_TIMESTAMP()
