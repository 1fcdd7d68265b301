-- End an open job before its tasks have ended: canceled, or failed for a reason of the job's own.
-- Returns: job_id, or no row when the job had ended already.
UPDATE rx.jobs WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
SET
    status = CAST(:status AS VARCHAR(16)),
    error = CAST(:error AS NVARCHAR(MAX)),
    done_runs = (
        SELECT COALESCE(SUM(task_rows.run_count), 0)
        FROM rx.task_rows AS task_rows
        WHERE task_rows.job_key = CAST(:job_key AS BIGINT) AND task_rows.status IN ('finished', 'failed')
    ),
    failed_runs = (
        SELECT COALESCE(SUM(task_rows.failed_runs), 0)
        FROM rx.task_rows AS task_rows
        WHERE task_rows.job_key = CAST(:job_key AS BIGINT) AND task_rows.status = 'failed'
    ),
    finished_at = SYSUTCDATETIME()
OUTPUT INSERTED.job_id
WHERE job_key = CAST(:job_key AS BIGINT) AND status IN ('queued', 'running');
