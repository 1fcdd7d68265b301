-- Wait until a job has ended, or for so many seconds. The job must have been committed: a transaction that submits
-- and waits would wait for itself.
-- Returns: the job's status.
CREATE OR REPLACE FUNCTION rx.wait_for_job(job_id TEXT, timeout_seconds DOUBLE PRECISION DEFAULT 60) RETURNS TEXT
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = rx, pg_temp
AS $$
DECLARE
    until TIMESTAMPTZ := CLOCK_TIMESTAMP() + MAKE_INTERVAL(secs => timeout_seconds);
    pause DOUBLE PRECISION := 0.01;
    found rx.jobs;
BEGIN
    IF EXISTS (
        SELECT FROM rx.jobs AS mine
        WHERE mine.job_id = wait_for_job.job_id AND mine.xmin::TEXT = (PG_CURRENT_XACT_ID()::TEXT::BIGINT % 4294967296)::TEXT
    ) THEN
        RAISE EXCEPTION 'The job "%" was submitted in this transaction, and no worker sees it before the end of that.', job_id
            USING HINT = 'Submit the job, COMMIT, and wait for it then.';
    END IF;
    LOOP
        found := rx.own_job(job_id);
        EXIT WHEN found.status NOT IN ('queued', 'running') OR CLOCK_TIMESTAMP() >= until;
        PERFORM PG_SLEEP(pause);
        pause := LEAST(0.5, pause * 1.5);
    END LOOP;
    RETURN found.status;
END
$$;
