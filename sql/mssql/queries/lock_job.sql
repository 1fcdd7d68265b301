-- Lock one open job against others who take slots on it or write about it.
-- Returns: status and num_tasks, or no row when the job has ended.
SELECT
    status,
    num_tasks
FROM rx.jobs WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
WHERE job_key = CAST(:job_key AS BIGINT) AND status IN ('queued', 'running');
