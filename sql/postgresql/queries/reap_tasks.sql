-- Take back what a dead worker held: tasks with attempts left go to the queue, the others fail.
-- Returns: a row a task: job_key, task, status, first_run, run_count.
UPDATE rx.task_rows
SET
    status = CASE WHEN task_rows.attempt < jobs.max_attempts THEN 'queued' ELSE 'failed' END,
    failed_runs = CASE WHEN task_rows.attempt < jobs.max_attempts THEN 0 ELSE task_rows.run_count END,
    error = CASE WHEN task_rows.attempt < jobs.max_attempts THEN NULL ELSE :error END,
    worker_key = CASE WHEN task_rows.attempt < jobs.max_attempts THEN NULL ELSE task_rows.worker_key END,
    finished_at = CASE WHEN task_rows.attempt < jobs.max_attempts THEN NULL ELSE CLOCK_TIMESTAMP() END
FROM rx.jobs
WHERE
    jobs.job_key = task_rows.job_key
    AND task_rows.job_key IN (SELECT slots.job_key FROM rx.slots WHERE slots.worker_key = :worker_key)
    AND task_rows.status = 'running'
    AND task_rows.worker_key = :worker_key
RETURNING task_rows.job_key, task_rows.task, task_rows.status, task_rows.first_run, task_rows.run_count;
