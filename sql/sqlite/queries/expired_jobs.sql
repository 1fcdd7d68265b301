-- Final jobs whose results and output nobody collected within the retention time.
-- Returns: job_key, job_id, function_hash.
SELECT
    job_key,
    job_id,
    function_hash
FROM jobs
WHERE
    status IN ('finished', 'failed', 'canceled')
    AND purged_at IS NULL
    AND JULIANDAY('now') - JULIANDAY(finished_at) >= :retention_seconds / 86400.0
ORDER BY job_key
LIMIT :limit;
