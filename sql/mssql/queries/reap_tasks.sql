-- Take back what a dead worker held: tasks with attempts left go to the queue, the others fail.
-- Returns: a row a task: job_key, task, status, first_run, run_count.
UPDATE rx.task_rows WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
SET
    status = CASE WHEN task_rows.attempt < held.max_attempts THEN 'queued' ELSE 'failed' END,
    failed_runs = CASE WHEN task_rows.attempt < held.max_attempts THEN 0 ELSE task_rows.run_count END,
    error = CASE WHEN task_rows.attempt < held.max_attempts THEN NULL ELSE CAST(:error AS NVARCHAR(MAX)) END,
    worker_key = CASE WHEN task_rows.attempt < held.max_attempts THEN NULL ELSE task_rows.worker_key END,
    finished_at = CASE WHEN task_rows.attempt < held.max_attempts THEN NULL ELSE SYSUTCDATETIME() END
OUTPUT
    INSERTED.job_key,
    INSERTED.task,
    INSERTED.status,
    INSERTED.first_run,
    INSERTED.run_count
FROM (
    SELECT
        jobs.job_key,
        jobs.max_attempts
    FROM rx.jobs AS jobs
    INNER JOIN rx.slots AS slots ON jobs.job_key = slots.job_key
    WHERE slots.worker_key = CAST(:worker_key AS BIGINT)
) AS held
WHERE
    task_rows.job_key = held.job_key
    AND task_rows.status = 'running'
    AND task_rows.worker_key = CAST(:worker_key AS BIGINT);
