-- Give claimed tasks back to the queue; a task that was never started gets its attempt back.
-- Takes: tasks, a JSON array of [job_key, task, attempt, attempt to go on from].
UPDATE task_rows
SET
    status = 'queued',
    attempt = freed.next_attempt,
    worker_key = NULL,
    started_at = NULL
FROM (
    SELECT
        value ->> 0 AS job_key,
        value ->> 1 AS task,
        value ->> 2 AS attempt,
        value ->> 3 AS next_attempt
    FROM JSON_EACH(:tasks)
) AS freed
WHERE
    task_rows.job_key = freed.job_key
    AND task_rows.task = freed.task
    AND task_rows.attempt = freed.attempt
    AND task_rows.worker_key = :worker_key
    AND task_rows.status = 'running';
