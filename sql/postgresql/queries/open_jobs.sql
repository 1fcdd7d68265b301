-- Jobs that have queued tasks, or on which this worker holds slots (these never fall off the list).
-- Returns: job_key, num_tasks, slots (of all workers), own_slots, has_queued.
SELECT
    held.job_key,
    held.num_tasks,
    held.slots,
    held.own_slots,
    held.has_queued
FROM (
    SELECT
        jobs.job_key,
        jobs.num_tasks,
        COALESCE((SELECT SUM(slots.slots) FROM rx.slots WHERE slots.job_key = jobs.job_key), 0) AS slots,
        COALESCE((
            SELECT slots.slots
            FROM rx.slots
            WHERE slots.job_key = jobs.job_key AND slots.worker_key = :worker_key
        ), 0) AS own_slots,
        -- The first in the order of the index: EXISTS may be answered from the queued tasks of all jobs.
        (
            SELECT task_rows.task
            FROM rx.task_rows
            WHERE task_rows.job_key = jobs.job_key AND task_rows.status = 'queued'
            ORDER BY task_rows.job_key, task_rows.status, task_rows.task
            LIMIT 1
        ) IS NOT NULL AS has_queued
    FROM rx.jobs
    WHERE jobs.status IN ('queued', 'running') AND jobs.python IN (:python, '')
) AS held
WHERE held.has_queued OR held.own_slots > 0
ORDER BY held.own_slots = 0, held.slots, held.job_key
LIMIT :limit;
