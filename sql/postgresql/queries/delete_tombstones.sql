-- Forget purged jobs that nobody asks for any more.
DELETE FROM rx.jobs
WHERE
    purged_at IS NOT NULL
    AND CLOCK_TIMESTAMP() - purged_at >= MAKE_INTERVAL(secs => :tombstone_seconds);
