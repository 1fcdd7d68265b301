-- Open jobs whose caller waited inside the database, and has not been seen for a while.
-- Returns: job_key.
SELECT waiters.job_key
FROM rx.waiters AS waiters
INNER JOIN rx.jobs AS jobs ON waiters.job_key = jobs.job_key
WHERE
    jobs.status IN ('queued', 'running')
    AND DATEDIFF_BIG(MILLISECOND, waiters.seen_at, SYSUTCDATETIME()) > CAST(:silent_seconds AS FLOAT) * 1000;
