-- Store a script with its parameters and the pages of its input; rx.submit_script makes them of a query.
-- Returns: the job's id.
CREATE OR REPLACE FUNCTION rx.add_script(
    given_job_id TEXT, script TEXT, params JSONB, input_name TEXT, output_name TEXT, num_tasks INTEGER,
    page_tasks INTEGER[], page_numbers INTEGER[], row_counts INTEGER[], header TEXT, bodies TEXT[]
) RETURNS TEXT
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = rx, pg_temp
AS $$
DECLARE
    tasks INTEGER := 1 + COALESCE((SELECT MAX(task) FROM UNNEST(page_tasks) AS task), 0);
    made BIGINT := rx.add_job(given_job_id, 'script', 'script', '', '', tasks, num_tasks);
BEGIN
    INSERT INTO rx.scripts (job_key, language, script, input_name, output_name, params)
    VALUES (made, 'Python', add_script.script, add_script.input_name, add_script.output_name, params);
    INSERT INTO rx.frames (job_key, direction, task, page, row_count, header, body)
    SELECT made, 'in', entry.task, entry.page, entry.row_count, add_script.header, entry.body
    FROM UNNEST(page_tasks, page_numbers, row_counts, bodies) AS entry (task, page, row_count, body);
    RETURN (SELECT job_id FROM rx.jobs WHERE job_key = made);
END
$$;
