-- Workers whose lease is valid, for one Python version, or for any ('').
-- Returns: host, pid.
SELECT
    host,
    pid
FROM rx.workers
WHERE
    stopped_at IS NULL
    AND :python IN (python, '')
    AND CLOCK_TIMESTAMP() - heartbeat_at < MAKE_INTERVAL(secs => lease_seconds);
