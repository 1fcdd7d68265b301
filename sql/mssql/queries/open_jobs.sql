-- Jobs that have queued tasks, or on which this worker holds slots (these never fall off the list).
-- Returns: job_key, num_tasks, slots (of all workers), own_slots, has_queued.
SELECT TOP (CAST(:limit AS INT))
    held.job_key,
    held.num_tasks,
    held.slots,
    held.own_slots,
    held.has_queued
FROM (
    SELECT
        jobs.job_key,
        jobs.num_tasks,
        COALESCE((
            SELECT SUM(slots.slots)
            FROM rx.slots AS slots
            WHERE slots.job_key = jobs.job_key
        ), 0) AS slots,
        COALESCE((
            SELECT slots.slots
            FROM rx.slots AS slots
            WHERE slots.job_key = jobs.job_key AND slots.worker_key = CAST(:worker_key AS BIGINT)
        ), 0) AS own_slots,
        CASE WHEN EXISTS (
            SELECT 1
            FROM rx.task_rows AS task_rows WITH (READPAST, READCOMMITTEDLOCK)
            WHERE task_rows.job_key = jobs.job_key AND task_rows.status = 'queued'
        ) THEN 1 ELSE 0 END AS has_queued
    FROM rx.jobs AS jobs
    WHERE jobs.status IN ('queued', 'running') AND jobs.python IN (CAST(:python AS VARCHAR(8)), '')
) AS held
WHERE held.has_queued = 1 OR held.own_slots > 0
ORDER BY CASE WHEN held.own_slots = 0 THEN 1 ELSE 0 END, held.slots, held.job_key;
