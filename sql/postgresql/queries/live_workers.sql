-- Workers whose lease is valid, for one Python version.
-- Returns: host, pid.
SELECT
    host,
    pid
FROM rx.workers
WHERE
    stopped_at IS NULL
    AND python = :python
    AND CLOCK_TIMESTAMP() - heartbeat_at < MAKE_INTERVAL(secs => lease_seconds);
