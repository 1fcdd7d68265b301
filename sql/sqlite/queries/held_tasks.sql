-- The tasks that a worker has claimed and not ended.
-- UNLIKELY: without statistics the planner would rather read all tasks of a job by their key.
-- Returns: a row a task: job_key, task, attempt, first_run, run_count.
SELECT
    job_key,
    task,
    attempt,
    first_run,
    run_count
FROM task_rows
WHERE
    job_key IN (SELECT slots.job_key FROM slots WHERE slots.worker_key = :worker_key)
    AND UNLIKELY(status = 'running')
    AND status IN ('queued', 'running')
    AND worker_key = :worker_key;
