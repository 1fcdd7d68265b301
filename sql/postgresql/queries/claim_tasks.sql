-- Hand the job's next queued tasks to this worker, if it holds slots on the job; an attempt counts from here.
-- The numbers are gathered first: whatever the planner believes, each row is then found by its key.
-- Its slots are locked until it is done: who takes the worker for dead takes back all that it has claimed.
-- Returns: a row a task: task, attempt, first_run, run_count, input.
UPDATE rx.task_rows
SET
    status = 'running',
    attempt = task_rows.attempt + 1,
    worker_key = :worker_key,
    started_at = CLOCK_TIMESTAMP()
WHERE
    task_rows.job_key = :job_key
    AND task_rows.status = 'queued'
    AND task_rows.task = ANY(ARRAY(
        SELECT queued.task
        FROM rx.task_rows AS queued
        WHERE queued.job_key = :job_key AND queued.status = 'queued'
        ORDER BY queued.task
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ))
    AND EXISTS (
        SELECT 1
        FROM rx.slots
        WHERE slots.job_key = :job_key AND slots.worker_key = :worker_key AND slots.slots > 0
        FOR SHARE
    )
RETURNING task_rows.task, task_rows.attempt, task_rows.first_run, task_rows.run_count, task_rows.input;
