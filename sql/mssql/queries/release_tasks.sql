-- Give claimed tasks back to the queue; a task that was never started gets its attempt back.
-- Takes: tasks, a JSON array of [job_key, task, attempt, attempt to go on from].
UPDATE rx.task_rows WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
SET
    status = 'queued',
    attempt = freed.next_attempt,
    worker_key = NULL,
    started_at = NULL
FROM (
    SELECT
        entry.job_key,
        entry.task,
        entry.attempt,
        entry.next_attempt
    FROM OPENJSON (:tasks) WITH (
        job_key BIGINT '$[0]',
        task INT '$[1]',
        attempt SMALLINT '$[2]',
        next_attempt SMALLINT '$[3]'
    ) AS entry
) AS freed
WHERE
    task_rows.job_key = freed.job_key
    AND task_rows.task = freed.task
    AND task_rows.attempt = freed.attempt
    AND task_rows.worker_key = CAST(:worker_key AS BIGINT)
    AND task_rows.status = 'running';
