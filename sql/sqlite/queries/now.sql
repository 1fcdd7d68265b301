-- The database's clock, UTC, as an expression.
STRFTIME('%Y-%m-%d %H:%M:%f', 'now')
