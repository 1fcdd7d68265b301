-- Forget workers that stopped long ago.
DELETE FROM workers
WHERE
    stopped_at IS NOT NULL
    AND JULIANDAY('now') - JULIANDAY(stopped_at) >= :tombstone_seconds / 86400.0;
