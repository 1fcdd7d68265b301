-- Take an idle worker off the list, unless a job has come in meanwhile: no job may wait for a worker that is
-- leaving.
-- Returns: worker_key, or no row when there is work.
UPDATE rx.workers
SET stopped_at = SYSUTCDATETIME()
OUTPUT INSERTED.worker_key
WHERE
    worker_key = CAST(:worker_key AS BIGINT)
    AND NOT EXISTS (
        SELECT 1
        FROM rx.jobs AS jobs
        WHERE jobs.status IN ('queued', 'running') AND jobs.python IN (workers.python, '')
    );
