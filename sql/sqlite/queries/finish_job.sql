-- End a job none of whose tasks is open: failed when every run failed, or when one did and the rest was not to go on.
-- Returns: job_key, or no row when a task is still open.
UPDATE jobs
SET
    status = CASE
        WHEN counted.failed_runs = 0 THEN 'finished'
        WHEN counted.failed_runs = jobs.run_count OR jobs.continue_on_failure = 0 THEN 'failed'
        ELSE 'finished'
    END,
    done_runs = counted.done_runs,
    failed_runs = counted.failed_runs,
    error = CASE
        WHEN counted.failed_runs = 0 THEN NULL
        WHEN jobs.run_count = 1 THEN counted.first_error
        ELSE counted.failed_runs || ' of ' || jobs.run_count || ' runs failed, the first with ' || counted.first_error
    END,
    finished_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'now')
FROM (
    SELECT
        COALESCE(SUM(task_rows.run_count), 0) AS done_runs,
        COALESCE(SUM(task_rows.failed_runs), 0) AS failed_runs,
        (
            SELECT failed.error
            FROM task_rows AS failed
            WHERE failed.job_key = :job_key AND failed.status = 'failed'
            ORDER BY failed.task
            LIMIT 1
        ) AS first_error
    FROM task_rows
    WHERE task_rows.job_key = :job_key
) AS counted
WHERE
    jobs.job_key = :job_key
    AND jobs.status IN ('queued', 'running')
    AND NOT EXISTS (
        SELECT 1
        FROM task_rows AS unfinished
        WHERE unfinished.job_key = :job_key AND unfinished.status IN ('queued', 'running')
    )
RETURNING jobs.job_key;
