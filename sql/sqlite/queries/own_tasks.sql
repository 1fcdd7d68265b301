-- Which of these tasks this worker still holds, in these attempts.
-- Takes: tasks, a JSON array of [job_key, task, attempt].
-- Returns: job_key, task.
SELECT
    task_rows.job_key,
    task_rows.task
FROM JSON_EACH(:tasks) AS wanted
INNER JOIN task_rows
    ON
        task_rows.job_key = wanted.value ->> 0
        AND task_rows.task = wanted.value ->> 1
        AND task_rows.attempt = wanted.value ->> 2
WHERE task_rows.worker_key = :worker_key AND task_rows.status = 'running';
