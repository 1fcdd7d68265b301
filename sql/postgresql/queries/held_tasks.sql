-- The tasks that a worker has claimed and not ended.
-- Returns: a row a task: job_key, task, attempt, first_run, run_count.
SELECT
    job_key,
    task,
    attempt,
    first_run,
    run_count
FROM rx.task_rows
WHERE
    job_key IN (SELECT slots.job_key FROM rx.slots WHERE slots.worker_key = :worker_key)
    AND status = 'running'
    AND worker_key = :worker_key;
