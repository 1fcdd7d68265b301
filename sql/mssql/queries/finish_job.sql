-- End a job none of whose tasks is open: failed when every run failed, or when one did and the rest was not
-- to go on. The tasks are counted only then: while one is open, this looks at one entry of the index.
-- Returns: job_key, or no row when a task is still open.
UPDATE rx.jobs WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
SET
    status = CASE
        WHEN counted.failed_runs = 0 THEN 'finished'
        WHEN counted.failed_runs = jobs.run_count OR jobs.continue_on_failure = 0 THEN 'failed'
        ELSE 'finished'
    END,
    done_runs = counted.done_runs,
    failed_runs = counted.failed_runs,
    error = CASE
        WHEN counted.failed_runs > 0
            THEN CONCAT(
                CASE
                    WHEN jobs.run_count > 1
                        THEN
                            CONCAT(
                                counted.failed_runs, ' of ', jobs.run_count, ' runs failed, the first with '
                            )
                END,
                counted.first_error
            )
    END,
    finished_at = SYSUTCDATETIME()
OUTPUT INSERTED.job_key
FROM (
    SELECT
        SUM(task_rows.run_count) AS done_runs,
        SUM(task_rows.failed_runs) AS failed_runs,
        (
            SELECT TOP (1) failed.error
            FROM rx.task_rows AS failed
            WHERE failed.job_key = CAST(:job_key AS BIGINT) AND failed.status = 'failed'
            ORDER BY failed.task
        ) AS first_error
    FROM rx.jobs AS ended
    INNER JOIN rx.task_rows AS task_rows ON ended.job_key = task_rows.job_key
    WHERE
        ended.job_key = CAST(:job_key AS BIGINT)
        AND ended.status IN ('queued', 'running')
        AND NOT EXISTS (
            SELECT 1
            FROM rx.task_rows AS unfinished
            WHERE unfinished.job_key = CAST(:job_key AS BIGINT) AND unfinished.status IN ('queued', 'running')
        )
    HAVING COUNT(*) > 0
) AS counted
WHERE jobs.job_key = CAST(:job_key AS BIGINT);
