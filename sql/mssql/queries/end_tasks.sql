-- Write down the ends of tasks; one whose attempt or worker no longer fits is left alone.
-- Takes: ends, a JSON array of [job_key, task, attempt, failed_runs, seconds, error].
-- Returns: job_key, task of those that were accepted.
UPDATE rx.task_rows WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
SET
    status = CASE WHEN ended.failed_runs > 0 THEN 'failed' ELSE 'finished' END,
    failed_runs = ended.failed_runs,
    seconds = ended.seconds,
    error = ended.error,
    finished_at = SYSUTCDATETIME()
OUTPUT
    INSERTED.job_key,
    INSERTED.task
FROM (
    SELECT
        entry.job_key,
        entry.task,
        entry.attempt,
        entry.failed_runs,
        entry.seconds,
        entry.error
    FROM OPENJSON (:ends) WITH (
        job_key BIGINT '$[0]',
        task INT '$[1]',
        attempt SMALLINT '$[2]',
        failed_runs INT '$[3]',
        seconds FLOAT '$[4]',
        error NVARCHAR(MAX) '$[5]'
    ) AS entry
) AS ended
WHERE
    task_rows.job_key = ended.job_key
    AND task_rows.task = ended.task
    AND task_rows.attempt = ended.attempt
    AND task_rows.worker_key = CAST(:worker_key AS BIGINT)
    AND task_rows.status = 'running';
