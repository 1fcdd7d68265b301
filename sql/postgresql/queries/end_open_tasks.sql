-- End a job's open tasks with it: queued ones are canceled, running ones end as told.
UPDATE rx.task_rows
SET
    status = CASE WHEN status = 'running' THEN :status ELSE 'canceled' END,
    error = :error,
    finished_at = CLOCK_TIMESTAMP()
WHERE job_key = :job_key AND status IN ('queued', 'running');
