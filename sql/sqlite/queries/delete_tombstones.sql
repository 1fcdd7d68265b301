-- Forget purged jobs that nobody asks for any more.
DELETE FROM jobs
WHERE purged_at IS NOT NULL AND JULIANDAY('now') - JULIANDAY(purged_at) >= :tombstone_seconds / 86400.0;
