-- Wait until a job has ended, or for so many seconds; in a transaction that has written, fail at once: one
-- that submits and waits would wait for itself; so would one that sees nothing that happens after its start.
-- Returns: the job's status.
CREATE OR REPLACE FUNCTION rx.wait_for_job(
    job_id TEXT, timeout_seconds DOUBLE PRECISION DEFAULT 60
) RETURNS TEXT
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = rx, pg_temp
AS $$
DECLARE
    until TIMESTAMPTZ := CLOCK_TIMESTAMP() + MAKE_INTERVAL(secs => timeout_seconds);
    pause DOUBLE PRECISION := 0.01;
    found rx.jobs;
BEGIN
    IF PG_CURRENT_XACT_ID_IF_ASSIGNED() IS NOT NULL THEN
        RAISE EXCEPTION 'rx.wait_for_job was called in a transaction that has written: what it submitted is seen by no '
            'worker before its end, and it would wait for itself.'
            USING HINT = 'Submit the job, COMMIT, and wait for it then.';
    END IF;
    IF CURRENT_SETTING('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'rx.wait_for_job was called at the isolation level %, at which it would never see the job end.',
            CURRENT_SETTING('transaction_isolation')
            USING HINT = 'Wait at READ COMMITTED, or with CALL rx.follow_job(...).';
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
