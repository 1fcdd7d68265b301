-- The database's clock, UTC, as an expression.
-- noqa: disable=PRS
SYSUTCDATETIME()
