-- Lock one open job against other workers' taking of slots. In SQLite the write transaction is that lock.
-- Returns: status and num_tasks, or no row when the job has ended.
SELECT
    status,
    num_tasks
FROM jobs
WHERE job_key = :job_key AND status IN ('queued', 'running');
