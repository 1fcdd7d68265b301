-- Nobody listens on SQL Server: clients and workers poll.
-- Takes: sender, who would tell it.
SELECT CAST(:sender AS VARCHAR(32)) AS told_by;
