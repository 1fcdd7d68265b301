-- Take an idle worker off the list, unless a job has come in meanwhile: no job may wait for a worker that is
-- leaving.
-- Returns: worker_key, or no row when there is work.
UPDATE workers
SET stopped_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'now')
WHERE
    worker_key = :worker_key
    AND NOT EXISTS (
        SELECT 1
        FROM jobs
        WHERE jobs.status IN ('queued', 'running') AND jobs.python IN (workers.python, '')
    )
RETURNING worker_key;
