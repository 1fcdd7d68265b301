-- Write down the ends of tasks; one whose attempt or worker no longer fits is left alone.
-- Takes: ends, a JSON array of [job_key, task, attempt, failed_runs, seconds, error].
-- Returns: job_key, task of those that were accepted.
-- Rows are to be found by their key: status and worker stand in expressions, which offer no other way.
UPDATE rx.task_rows
SET
    status = CASE WHEN ended.failed_runs > 0 THEN 'failed' ELSE 'finished' END,
    failed_runs = ended.failed_runs,
    seconds = ended.seconds,
    error = ended.error,
    finished_at = CLOCK_TIMESTAMP()
FROM (
    SELECT
        CAST(entry.parts ->> 0 AS BIGINT) AS job_key,
        CAST(entry.parts ->> 1 AS INTEGER) AS task,
        CAST(entry.parts ->> 2 AS SMALLINT) AS attempt,
        CAST(entry.parts ->> 3 AS INTEGER) AS failed_runs,
        CAST(entry.parts ->> 4 AS DOUBLE PRECISION) AS seconds,
        entry.parts ->> 5 AS error
    FROM JSON_ARRAY_ELEMENTS(CAST(:ends AS JSON)) AS entry (parts)
) AS ended
WHERE
    task_rows.job_key = ended.job_key
    AND task_rows.task = ended.task
    AND task_rows.attempt = ended.attempt
    AND task_rows.worker_key + 0 = :worker_key
    AND task_rows.status || '' = 'running'
RETURNING task_rows.job_key, task_rows.task;
