-- Lock one open job against other workers' taking of slots.
-- Returns: status and num_tasks, or no row when the job has ended.
SELECT
    status,
    num_tasks
FROM rx.jobs
WHERE job_key = :job_key AND status IN ('queued', 'running')
FOR NO KEY UPDATE;
