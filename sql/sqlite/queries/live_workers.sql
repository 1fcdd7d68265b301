-- Workers whose lease is valid, for one Python version, or for any ('').
-- Returns: host, pid.
SELECT
    host,
    pid
FROM workers
WHERE
    stopped_at IS NULL
    AND :python IN (python, '')
    AND JULIANDAY('now') - JULIANDAY(heartbeat_at) < lease_seconds / 86400.0;
