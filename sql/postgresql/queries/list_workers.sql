-- All workers, the newest first, with the slots they hold and whether their lease is valid.
SELECT
    workers.worker_key,
    workers.worker_id,
    workers.host,
    workers.pid,
    workers.python,
    workers.version,
    workers.slots,
    workers.started_at,
    workers.heartbeat_at,
    workers.stopped_at,
    COALESCE((
        SELECT SUM(slots.slots)
        FROM rx.slots
        WHERE slots.worker_key = workers.worker_key
    ), 0) AS used_slots,
    (
        workers.stopped_at IS NULL
        AND CLOCK_TIMESTAMP() - workers.heartbeat_at < MAKE_INTERVAL(secs => workers.lease_seconds)
    ) AS is_alive
FROM rx.workers
ORDER BY workers.worker_key DESC;
