-- Workers whose lease is valid, for one Python version.
-- Returns: host, pid.
SELECT
    host,
    pid
FROM rx.workers
WHERE
    stopped_at IS NULL
    AND python = CAST(:python AS VARCHAR(8))
    AND DATEDIFF_BIG(MILLISECOND, heartbeat_at, SYSUTCDATETIME()) < lease_seconds * 1000;
