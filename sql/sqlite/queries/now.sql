-- The database's clock, UTC, as an expression to stand in a statement.
-- noqa: disable=PRS
STRFTIME('%Y-%m-%d %H:%M:%f', 'now')
