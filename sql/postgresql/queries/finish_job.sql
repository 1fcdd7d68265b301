-- End a job none of whose tasks is open: failed when every run failed, or when one did and the rest was not
-- to go on. The tasks are counted only then: while one is open, this looks at one entry of the index, once.
-- Returns: job_key, or no row when a task is still open.
UPDATE rx.jobs
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
            THEN
                CASE
                    WHEN jobs.run_count = 1 THEN ''
                    ELSE counted.failed_runs || ' of ' || jobs.run_count || ' runs failed, the first with '
                END
                || (
                    SELECT failed.error
                    FROM rx.task_rows AS failed
                    WHERE failed.job_key = jobs.job_key AND failed.status = 'failed'
                    ORDER BY failed.task
                    LIMIT 1
                )
    END,
    finished_at = CLOCK_TIMESTAMP()
FROM (
    SELECT
        SUM(task_rows.run_count) AS done_runs,
        SUM(task_rows.failed_runs) AS failed_runs
    FROM rx.jobs AS ended
    INNER JOIN rx.task_rows ON ended.job_key = task_rows.job_key
    WHERE
        ended.job_key = :job_key
        AND ended.status IN ('queued', 'running')
        AND (
            -- In the order of the index: else the planner may look through the table for an open task.
            SELECT unfinished.task
            FROM rx.task_rows AS unfinished
            WHERE unfinished.job_key = :job_key AND unfinished.status IN ('queued', 'running')
            ORDER BY unfinished.job_key, unfinished.status, unfinished.task
            LIMIT 1
        ) IS NULL
    HAVING COUNT(*) > 0
) AS counted
WHERE jobs.job_key = :job_key
RETURNING jobs.job_key;
