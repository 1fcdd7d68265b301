-- Workers whose lease is valid, for one Python version, or for any ('').
-- Returns: host, pid.
SELECT
    host,
    pid
FROM rx.workers
WHERE
    stopped_at IS NULL
    AND CAST(:python AS VARCHAR(8)) IN (python, '')
    AND DATEDIFF_BIG(MILLISECOND, heartbeat_at, SYSUTCDATETIME()) < lease_seconds * 1000;
