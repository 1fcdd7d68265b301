-- Check that a job has finished; say in one error why there is no result where it has not.
-- Returns: the job's key.
CREATE OR REPLACE FUNCTION rx.finished_job(wanted TEXT) RETURNS BIGINT
LANGUAGE plpgsql
SET search_path = rx, pg_temp
AS $$
DECLARE
    job rx.jobs := rx.own_job(wanted);
    trace TEXT;
BEGIN
    IF job.purged_at IS NOT NULL THEN
        RAISE EXCEPTION 'The result of job "%" was removed.', wanted;
    ELSIF job.status IN ('queued', 'running') THEN
        RAISE EXCEPTION 'The job "%" is %; it has no result yet.', wanted, job.status
            USING HINT = 'Wait for it: SELECT rx.wait_for_job(...)';
    ELSIF job.status = 'failed' THEN
        SELECT results.traceback INTO trace
        FROM rx.results WHERE results.job_key = job.job_key AND results.error IS NOT NULL
        ORDER BY results.run LIMIT 1;
        RAISE EXCEPTION 'The job "%" failed: %', wanted, job.error
            USING ERRCODE = 'external_routine_exception', DETAIL = COALESCE(trace, '');
    ELSIF job.status = 'canceled' THEN
        RAISE EXCEPTION 'The job "%" was canceled; it has no result.', wanted;
    ELSIF job.kind = 'function' THEN
        RAISE EXCEPTION 'The results of job "%" are pickles of Python: rx_get_job_results reads them.', wanted;
    END IF;
    RETURN job.job_key;
END
$$;

-- The rows that a script or published function returned, each as a JSON object, in their order.
-- Returns: a row a row. Make columns of it: SELECT r.* FROM rx.fetch_result('...') AS found,
-- JSONB_TO_RECORD(found) AS r (x INTEGER, y TEXT).
CREATE OR REPLACE FUNCTION rx.fetch_result(job_id TEXT) RETURNS SETOF JSONB
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = rx, pg_temp
AS $$
DECLARE
    wanted BIGINT := rx.finished_job(fetch_result.job_id);
    part RECORD;
    header TEXT;
    made TEXT;
BEGIN
    FOR part IN
        SELECT frames.header, frames.body::JSONB AS body
        FROM rx.frames WHERE frames.job_key = wanted AND frames.direction = 'out'
        ORDER BY frames.task, frames.page
    LOOP
        IF part.header IS DISTINCT FROM header THEN
            header := part.header;
            -- A function takes a hundred arguments at most: fifty columns.
            SELECT COALESCE(
                STRING_AGG('JSONB_BUILD_OBJECT(' || known.pairs || ')', ' || ' ORDER BY known.fifty), '''{}''::JSONB'
            ) INTO made
            FROM (
                SELECT
                    (place - 1) / 50 AS fifty,
                    STRING_AGG(FORMAT('%L, cells -> %s', entry ->> 0, place - 1), ', ' ORDER BY place) AS pairs
                FROM JSONB_ARRAY_ELEMENTS(header::JSONB) WITH ORDINALITY AS names (entry, place)
                GROUP BY (place - 1) / 50
            ) AS known;
        END IF;
        RETURN QUERY EXECUTE
            'SELECT ' || made || ' FROM JSONB_ARRAY_ELEMENTS($1) WITH ORDINALITY AS rows (cells, place) ORDER BY place'
            USING part.body;
    END LOOP;
END
$$;

-- The OUTPUT parameters of a script, as a JSON object.
CREATE OR REPLACE FUNCTION rx.fetch_parameters(job_id TEXT) RETURNS JSONB
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = rx, pg_temp
AS $$
DECLARE
    wanted BIGINT := rx.finished_job(fetch_parameters.job_id);
BEGIN
    RETURN (
        SELECT JSONB_OBJECT_AGG(names.entry ->> 0, cells.cell)
        FROM (
            SELECT frames.header::JSONB AS header, frames.body::JSONB -> 0 AS body
            FROM rx.frames WHERE frames.job_key = wanted AND frames.direction = 'param'
            ORDER BY frames.task DESC LIMIT 1
        ) AS last
        CROSS JOIN JSONB_ARRAY_ELEMENTS(last.header) WITH ORDINALITY AS names (entry, place)
        INNER JOIN JSONB_ARRAY_ELEMENTS(last.body) WITH ORDINALITY AS cells (cell, place) USING (place)
    );
END
$$;
