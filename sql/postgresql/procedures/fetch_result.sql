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
BEGIN
    RETURN QUERY
    SELECT (
        SELECT COALESCE(JSONB_OBJECT_AGG(names.entry ->> 0, cells.cell ORDER BY names.place), '{}')
        FROM JSONB_ARRAY_ELEMENTS(frames.header::JSONB) WITH ORDINALITY AS names (entry, place)
        INNER JOIN JSONB_ARRAY_ELEMENTS(rows.cells) WITH ORDINALITY AS cells (cell, place) USING (place)
    )
    FROM rx.frames
    CROSS JOIN JSONB_ARRAY_ELEMENTS(frames.body::JSONB) WITH ORDINALITY AS rows (cells, place)
    WHERE frames.job_key = wanted AND frames.direction = 'out'
    ORDER BY frames.task, frames.page, rows.place;
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
