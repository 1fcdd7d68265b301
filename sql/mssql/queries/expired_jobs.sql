-- Final jobs whose results and output nobody collected within the retention time.
-- Returns: job_key, job_id, function_hash.
SELECT TOP (CAST(:limit AS INT))
    job_key,
    job_id,
    function_hash
FROM rx.jobs
WHERE
    status IN ('finished', 'failed', 'canceled')
    AND purged_at IS NULL
    AND DATEDIFF_BIG(MILLISECOND, finished_at, SYSUTCDATETIME()) >= CAST(:retention_seconds AS FLOAT) * 1000
ORDER BY job_key;
