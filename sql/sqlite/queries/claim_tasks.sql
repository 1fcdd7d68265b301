-- Hand the job's next queued tasks to this worker, if it holds slots on the job; an attempt counts from here.
-- Returns: a row a task: task, attempt, first_run, run_count, input.
UPDATE task_rows
SET
    status = 'running',
    attempt = attempt + 1,
    worker_key = :worker_key,
    started_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'now')
WHERE
    job_key = :job_key
    AND status = 'queued'
    AND task IN (
        SELECT queued.task
        FROM task_rows AS queued
        WHERE
            queued.job_key = :job_key
            AND queued.status = 'queued'
            AND queued.status IN ('queued', 'running')
        ORDER BY queued.task
        LIMIT :limit
    )
    AND EXISTS (
        SELECT 1
        FROM slots
        WHERE slots.job_key = :job_key AND slots.worker_key = :worker_key AND slots.slots > 0
    )
RETURNING task, attempt, first_run, run_count, input;
