-- Hand the job's next queued tasks to this worker, if it holds slots on the job; an attempt counts from here.
-- Rows that others hold are passed over. A range of the index is updated, up to the last of the next tasks.
-- Its slots are locked until it is done: who takes the worker for dead takes back all that it has claimed.
-- Returns: a row a task: task, attempt, first_run, run_count, input.
UPDATE TOP (CAST(:limit AS INT)) rx.task_rows WITH (UPDLOCK, READPAST, ROWLOCK, READCOMMITTEDLOCK)
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
    AND task <= (
        SELECT MAX(next_tasks.task)
        FROM (
            SELECT TOP (CAST(:limit AS INT)) queued.task
            FROM rx.task_rows AS queued WITH (UPDLOCK, READPAST, ROWLOCK, READCOMMITTEDLOCK)
            WHERE queued.job_key = CAST(:job_key AS BIGINT) AND queued.status = 'queued'
            ORDER BY queued.task
        ) AS next_tasks
    )
    AND EXISTS (
        SELECT 1
        FROM rx.slots AS slots WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
        WHERE
            slots.job_key = CAST(:job_key AS BIGINT)
            AND slots.worker_key = CAST(:worker_key AS BIGINT)
            AND slots.slots > 0
    );
