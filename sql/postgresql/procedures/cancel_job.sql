-- Cancel an open job and remove what it stored.
-- Returns: whether it was open.
CREATE OR REPLACE FUNCTION rx.cancel_job(job_id TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = rx, pg_temp
AS $$
DECLARE
    wanted BIGINT := (rx.own_job(job_id)).job_key;
BEGIN
    UPDATE rx.jobs
    SET
        status = 'canceled',
        done_runs = (
            SELECT COALESCE(SUM(task_rows.run_count), 0) FROM rx.task_rows
            WHERE task_rows.job_key = wanted AND task_rows.status IN ('finished', 'failed')
        ),
        failed_runs = (
            SELECT COALESCE(SUM(task_rows.failed_runs), 0) FROM rx.task_rows
            WHERE task_rows.job_key = wanted AND task_rows.status = 'failed'
        ),
        finished_at = CLOCK_TIMESTAMP()
    WHERE jobs.job_key = wanted AND jobs.status IN ('queued', 'running');
    IF NOT FOUND THEN
        RETURN FALSE;
    END IF;
    UPDATE rx.task_rows SET status = 'canceled', finished_at = CLOCK_TIMESTAMP()
    WHERE job_key = wanted AND status IN ('queued', 'running');
    DELETE FROM rx.slots WHERE job_key = wanted;
    PERFORM rx.drop_stored(wanted);
    PERFORM PG_NOTIFY('rxsql', 'sql');
    RETURN TRUE;
END
$$;

-- Remove what a job stored, its tasks excepted.
CREATE OR REPLACE FUNCTION rx.drop_stored(wanted BIGINT) RETURNS VOID
LANGUAGE plpgsql
SET search_path = rx, pg_temp
AS $$
BEGIN
    DELETE FROM rx.results WHERE job_key = wanted;
    DELETE FROM rx.console_chunks WHERE job_key = wanted;
    DELETE FROM rx.crash_rows WHERE job_key = wanted;
    DELETE FROM rx.inputs WHERE job_key = wanted;
    DELETE FROM rx.frames WHERE job_key = wanted;
    DELETE FROM rx.scripts WHERE job_key = wanted;
    DELETE FROM rx.waiters WHERE job_key = wanted;
END
$$;

-- Remove a job's tasks, tables, results and console lines, after canceling it where it is open; its row
-- stays.
-- Returns: whether there was something to remove.
CREATE OR REPLACE FUNCTION rx.cleanup_job(job_id TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = rx, pg_temp
AS $$
DECLARE
    wanted BIGINT := (rx.own_job(job_id)).job_key;
BEGIN
    PERFORM rx.cancel_job(job_id);
    PERFORM rx.drop_stored(wanted);
    DELETE FROM rx.task_rows WHERE job_key = wanted;
    UPDATE rx.jobs SET purged_at = CLOCK_TIMESTAMP() WHERE job_key = wanted AND purged_at IS NULL;
    RETURN FOUND;
END
$$;
