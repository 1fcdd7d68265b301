-- Open jobs whose caller waited inside the database, and has not been seen for a while.
-- Returns: job_key.
SELECT waiters.job_key
FROM waiters
INNER JOIN jobs ON waiters.job_key = jobs.job_key
WHERE
    jobs.status IN ('queued', 'running')
    AND JULIANDAY('now') - JULIANDAY(waiters.seen_at) > :silent_seconds / 86400.0;
