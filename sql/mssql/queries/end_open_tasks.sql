-- End a job's open tasks with it: queued ones are canceled, running ones end as told.
UPDATE rx.task_rows WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
SET
    status = CASE WHEN status = 'running' THEN CAST(:status AS VARCHAR(16)) ELSE 'canceled' END,
    error = CAST(:error AS NVARCHAR(MAX)),
    finished_at = SYSUTCDATETIME()
WHERE job_key = CAST(:job_key AS BIGINT) AND status IN ('queued', 'running');
