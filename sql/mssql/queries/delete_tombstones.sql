-- Forget purged jobs that nobody asks for any more.
DELETE FROM rx.jobs
WHERE
    purged_at IS NOT NULL
    AND DATEDIFF_BIG(MILLISECOND, purged_at, SYSUTCDATETIME()) >= CAST(:tombstone_seconds AS FLOAT) * 1000;
