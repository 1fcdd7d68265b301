-- Forget workers that stopped long ago.
DELETE FROM rx.workers
WHERE
    stopped_at IS NOT NULL
    AND DATEDIFF_BIG(MILLISECOND, stopped_at, SYSUTCDATETIME()) >= CAST(:tombstone_seconds AS FLOAT) * 1000;
