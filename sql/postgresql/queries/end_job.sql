-- End an open job before its tasks have ended: canceled, or failed for a reason of the job's own.
-- Returns: job_id, or no row when the job had ended already.
UPDATE rx.jobs
SET
    status = :status,
    error = :error,
    done_runs = (
        SELECT COALESCE(SUM(task_rows.run_count), 0)
        FROM rx.task_rows
        WHERE task_rows.job_key = jobs.job_key AND task_rows.status IN ('finished', 'failed')
    ),
    failed_runs = (
        SELECT COALESCE(SUM(task_rows.failed_runs), 0)
        FROM rx.task_rows
        WHERE task_rows.job_key = jobs.job_key AND task_rows.status = 'failed'
    ),
    finished_at = CLOCK_TIMESTAMP()
WHERE job_key = :job_key AND status IN ('queued', 'running')
RETURNING job_id;
