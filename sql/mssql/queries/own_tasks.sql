-- Which of these tasks this worker still holds, in these attempts; they are locked until what is written
-- about them is.
-- Takes: tasks, a JSON array of [job_key, task, attempt].
-- Returns: job_key, task.
SELECT
    task_rows.job_key,
    task_rows.task
FROM rx.task_rows AS task_rows WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
INNER JOIN
    OPENJSON (:tasks) WITH (
        job_key BIGINT '$[0]',
        task INT '$[1]',
        attempt SMALLINT '$[2]'
    ) AS wanted
    ON
        task_rows.job_key = wanted.job_key
        AND task_rows.task = wanted.task
        AND task_rows.attempt = wanted.attempt
WHERE task_rows.worker_key = CAST(:worker_key AS BIGINT) AND task_rows.status = 'running';
