-- Final jobs whose results and output nobody collected within the retention time.
-- Returns: job_key, job_id, function_hash.
SELECT
    job_key,
    job_id,
    function_hash
FROM rx.jobs
WHERE
    status IN ('finished', 'failed', 'canceled')
    AND purged_at IS NULL
    AND CLOCK_TIMESTAMP() - finished_at >= MAKE_INTERVAL(secs => :retention_seconds)
ORDER BY job_key
LIMIT :limit;
