-- Write down the ends of tasks; one whose attempt or worker no longer fits is left alone.
-- Takes: ends, a JSON array of [job_key, task, attempt, failed_runs, seconds, error].
-- Returns: job_key, task of those that were accepted.
UPDATE task_rows
SET
    status = CASE WHEN ended.failed_runs > 0 THEN 'failed' ELSE 'finished' END,
    failed_runs = ended.failed_runs,
    seconds = ended.seconds,
    error = ended.error,
    finished_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'now')
FROM (
    SELECT
        value ->> 0 AS job_key,
        value ->> 1 AS task,
        value ->> 2 AS attempt,
        value ->> 3 AS failed_runs,
        value ->> 4 AS seconds,
        value ->> 5 AS error
    FROM JSON_EACH(:ends)
) AS ended
WHERE
    task_rows.job_key = ended.job_key
    AND task_rows.task = ended.task
    AND task_rows.attempt = ended.attempt
    AND task_rows.worker_key = :worker_key
    AND task_rows.status = 'running'
RETURNING task_rows.job_key, task_rows.task;
