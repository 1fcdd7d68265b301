-- Submit a job that plain SQL describes, with its tasks; the functions below call it, users cannot.
-- Returns: the job's key.
CREATE OR REPLACE FUNCTION rx.add_job(
    given_job_id TEXT, job_name TEXT, job_kind TEXT, job_python TEXT, hash TEXT,
    tasks INTEGER, children INTEGER, job_signature TEXT DEFAULT NULL
) RETURNS BIGINT
LANGUAGE plpgsql
SET search_path = rx, pg_temp
AS $$
DECLARE
    made BIGINT;
    new_id TEXT := COALESCE(
        given_job_id,
        TO_CHAR(CLOCK_TIMESTAMP() AT TIME ZONE 'utc', 'YYYYMMDD-HH24MISS-')
        || SUBSTR(REPLACE(CAST(GEN_RANDOM_UUID() AS TEXT), '-', ''), 1, 8)
    );
BEGIN
    IF new_id !~ '^[[:alnum:]_.:-]{1,128}$' THEN
        RAISE EXCEPTION 'The job id "%" is not up to 128 letters, digits and . _ : -', new_id;
    END IF;
    IF tasks > 1000000 THEN
        RAISE EXCEPTION 'The job has more than 1,000,000 partitions. Partition the input by fewer columns.';
    END IF;
    INSERT INTO rx.jobs (
        job_id, name, kind, run_count, num_tasks, max_attempts, continue_on_failure, has_inputs, packages_to_load,
        execution_timeout_seconds, auto_cleanup, console_output, context, python, function_hash, submitted_by,
        signature
    )
    VALUES (
        new_id, job_name, job_kind, tasks, children, 3, 0, CASE job_kind WHEN 'script' THEN 1 ELSE 0 END, '[]', 0, 0, 0,
        JSONB_BUILD_OBJECT(
            'connection_string', 'sql', 'num_tasks', children, 'execution_timeout_seconds', 0, 'wait', FALSE,
            'console_output', FALSE, 'auto_cleanup', FALSE, 'packages_to_load', '[]'::JSONB, 'description', 'sqlserver',
            'version', '1.0'
        ),
        job_python, hash, SESSION_USER, job_signature
    )
    RETURNING job_key INTO made;
    INSERT INTO rx.task_rows (job_key, task, first_run, run_count)
    SELECT made, number, number, 1 FROM GENERATE_SERIES(0, tasks - 1) AS number;
    PERFORM PG_NOTIFY('rxsql', 'sql');
    RETURN made;
EXCEPTION
    WHEN unique_violation THEN
        RAISE EXCEPTION 'A job "%" is there already. Choose another job_id, or clean that one up.', new_id
            USING ERRCODE = 'unique_violation';
END
$$;

-- Find a job that the caller may touch: its own, or any job for members of rx_client.
-- Returns: the job's row.
CREATE OR REPLACE FUNCTION rx.own_job(wanted TEXT) RETURNS rx.JOBS
LANGUAGE plpgsql
SET search_path = rx, pg_temp
AS $$
DECLARE
    found rx.jobs;
BEGIN
    SELECT jobs.* INTO found FROM rx.jobs WHERE jobs.job_id = wanted;
    IF found.job_key IS NULL OR NOT (
        found.submitted_by = SESSION_USER
        OR PG_HAS_ROLE(SESSION_USER, CURRENT_USER, 'MEMBER')
        OR COALESCE(PG_HAS_ROLE(SESSION_USER, TO_REGROLE('rx_client'), 'MEMBER'), FALSE)
    ) THEN
        RAISE EXCEPTION 'There is no job "%", or it is another user''s.', wanted USING ERRCODE = 'no_data_found';
    END IF;
    RETURN found;
END
$$;
