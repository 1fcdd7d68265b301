-- Forget workers that stopped long ago.
DELETE FROM rx.workers
WHERE
    stopped_at IS NOT NULL
    AND CLOCK_TIMESTAMP() - stopped_at >= MAKE_INTERVAL(secs => :tombstone_seconds);
