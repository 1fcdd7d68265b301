-- Which of these tasks this worker still holds, in these attempts; they are locked until what is written
-- about them is.
-- Takes: tasks, a JSON array of [job_key, task, attempt].
-- Returns: job_key, task.
-- Rows are to be found by their key: status and worker stand in expressions, which offer no other way.
SELECT
    task_rows.job_key,
    task_rows.task
FROM rx.task_rows
INNER JOIN JSON_ARRAY_ELEMENTS(CAST(:tasks AS JSON)) AS wanted (parts)
    ON
        task_rows.job_key = CAST(wanted.parts ->> 0 AS BIGINT)
        AND task_rows.task = CAST(wanted.parts ->> 1 AS INTEGER)
        AND task_rows.attempt = CAST(wanted.parts ->> 2 AS SMALLINT)
WHERE task_rows.worker_key + 0 = :worker_key AND task_rows.status || '' = 'running'
FOR NO KEY UPDATE OF task_rows;
