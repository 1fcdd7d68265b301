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
        FROM rx.slots AS slots
        WHERE slots.worker_key = workers.worker_key
    ), 0) AS used_slots,
    CASE
        WHEN
            workers.stopped_at IS NULL
            AND DATEDIFF_BIG(MILLISECOND, workers.heartbeat_at, SYSUTCDATETIME())
            < workers.lease_seconds * 1000
            THEN 1
        ELSE 0
    END AS is_alive
FROM rx.workers AS workers
ORDER BY workers.worker_key DESC;
