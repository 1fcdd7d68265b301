-- Hand the job's next queued tasks to this worker, if it holds slots on the job; an attempt counts from here.
-- Rows that others hold are passed over.
-- Returns: a row a task: task, attempt, first_run, run_count, input.
UPDATE rx.task_rows WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
SET
    status = 'running',
    attempt = attempt + 1,
    worker_key = :worker_key,
    started_at = SYSUTCDATETIME()
OUTPUT
    INSERTED.task,
    INSERTED.attempt,
    INSERTED.first_run,
    INSERTED.run_count,
    INSERTED.input
WHERE
    job_key = CAST(:job_key AS BIGINT)
    AND status = 'queued'
    AND task IN (
        SELECT TOP (CAST(:limit AS INT)) queued.task
        FROM rx.task_rows AS queued WITH (UPDLOCK, READPAST, ROWLOCK, READCOMMITTEDLOCK)
        WHERE queued.job_key = CAST(:job_key AS BIGINT) AND queued.status = 'queued'
        ORDER BY queued.task
    )
    AND EXISTS (
        SELECT 1
        FROM rx.slots AS slots
        WHERE
            slots.job_key = CAST(:job_key AS BIGINT)
            AND slots.worker_key = CAST(:worker_key AS BIGINT)
            AND slots.slots > 0
    );
