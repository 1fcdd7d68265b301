-- Open jobs whose caller waited inside the database, and has not been seen for a while.
-- Returns: job_key.
SELECT waiters.job_key
FROM rx.waiters
INNER JOIN rx.jobs ON waiters.job_key = jobs.job_key
WHERE
    jobs.status IN ('queued', 'running')
    AND CLOCK_TIMESTAMP() - waiters.seen_at > MAKE_INTERVAL(secs => :silent_seconds);
