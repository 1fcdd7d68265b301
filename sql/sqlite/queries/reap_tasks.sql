-- Take back what a dead worker held: tasks with attempts left go to the queue, the others fail.
-- UNLIKELY: without statistics the planner would rather read all tasks of a job by their key.
-- Returns: a row a task: job_key, task, status, first_run, run_count.
UPDATE task_rows
SET
    status = CASE WHEN attempt < jobs.max_attempts THEN 'queued' ELSE 'failed' END,
    failed_runs = CASE WHEN attempt < jobs.max_attempts THEN 0 ELSE task_rows.run_count END,
    error = CASE WHEN attempt < jobs.max_attempts THEN NULL ELSE :error END,
    worker_key = CASE WHEN attempt < jobs.max_attempts THEN NULL ELSE worker_key END,
    finished_at = CASE
        WHEN attempt < jobs.max_attempts THEN NULL
        ELSE STRFTIME('%Y-%m-%d %H:%M:%f', 'now')
    END
FROM jobs
WHERE
    jobs.job_key = task_rows.job_key
    AND task_rows.job_key IN (SELECT slots.job_key FROM slots WHERE slots.worker_key = :worker_key)
    AND UNLIKELY(task_rows.status = 'running')
    AND task_rows.status IN ('queued', 'running')
    AND task_rows.worker_key = :worker_key
RETURNING task_rows.job_key, task_rows.task, task_rows.status, task_rows.first_run, task_rows.run_count;
