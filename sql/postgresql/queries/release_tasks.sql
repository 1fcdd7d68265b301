-- Give claimed tasks back to the queue; a task that was never started gets its attempt back.
-- Takes: tasks, a JSON array of [job_key, task, attempt, attempt to go on from].
-- Rows are to be found by their key: status and worker stand in expressions, which offer no other way.
UPDATE rx.task_rows
SET
    status = 'queued',
    attempt = freed.next_attempt,
    worker_key = NULL,
    started_at = NULL
FROM (
    SELECT
        CAST(entry.parts ->> 0 AS BIGINT) AS job_key,
        CAST(entry.parts ->> 1 AS INTEGER) AS task,
        CAST(entry.parts ->> 2 AS SMALLINT) AS attempt,
        CAST(entry.parts ->> 3 AS SMALLINT) AS next_attempt
    FROM JSON_ARRAY_ELEMENTS(CAST(:tasks AS JSON)) AS entry (parts)
) AS freed
WHERE
    task_rows.job_key = freed.job_key
    AND task_rows.task = freed.task
    AND task_rows.attempt = freed.attempt
    AND task_rows.worker_key + 0 = :worker_key
    AND task_rows.status || '' = 'running';
