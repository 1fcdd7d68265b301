-- Store a script with its parameters; rx.submit_script calls it, and rx.add_page for each page of its input.
-- Returns: the job's id.
CREATE OR REPLACE FUNCTION rx.add_script(
    given_job_id TEXT, script TEXT, params JSONB, input_name TEXT, output_name TEXT, tasks INTEGER,
    num_tasks INTEGER
) RETURNS TEXT
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = rx, pg_temp
AS $$
DECLARE
    made BIGINT := rx.add_job(given_job_id, 'script', 'script', '', '', tasks, num_tasks);
BEGIN
    INSERT INTO rx.scripts (job_key, language, script, input_name, output_name, params)
    VALUES (made, 'Python', add_script.script, add_script.input_name, add_script.output_name, params);
    RETURN (SELECT job_id FROM rx.jobs WHERE job_key = made);
END
$$;

-- Put a page of input to a script of the caller's that no worker has begun.
CREATE OR REPLACE FUNCTION rx.add_page(
    job_id TEXT, task INTEGER, page INTEGER, row_count INTEGER, header TEXT, body TEXT
) RETURNS VOID
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = rx, pg_temp
AS $$
BEGIN
    INSERT INTO rx.frames (job_key, direction, task, page, row_count, header, body)
    SELECT
        jobs.job_key, 'in', add_page.task, add_page.page, add_page.row_count, add_page.header, add_page.body
    FROM rx.jobs
    WHERE
        jobs.job_id = add_page.job_id AND jobs.kind = 'script' AND jobs.status = 'queued'
        AND jobs.submitted_by = SESSION_USER;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no queued script "%" of yours.', job_id USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
