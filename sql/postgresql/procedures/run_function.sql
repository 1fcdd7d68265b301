-- Submit a call of a published function: its arguments are a JSON object.
-- Returns: the job's id; rx.fetch_result gives the function's result as rows, once it has finished.
CREATE OR REPLACE FUNCTION rx.run_function(
    name TEXT, args JSONB DEFAULT '{}', job_id TEXT DEFAULT NULL
) RETURNS TEXT
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = rx, pg_temp
AS $$
DECLARE
    found rx.published;
    made BIGINT;
BEGIN
    SELECT published.* INTO found FROM rx.published WHERE published.name = run_function.name;
    IF found.name IS NULL THEN
        RAISE EXCEPTION 'Nothing is published as "%".', name
            USING HINT = 'What is published stands in rx.published; rxsql publish module:function adds to it.';
    END IF;
    IF JSONB_TYPEOF(args) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'The arguments must be a JSON object such as {"name": 1}.';
    END IF;
    made := rx.add_job(run_function.job_id, name, 'published', found.python, found.function_hash, 1, 1, found.signature);
    INSERT INTO rx.scripts (job_key, language, script, input_name, output_name, params)
    VALUES (made, 'Python', NULL, 'InputDataSet', 'OutputDataSet', args);
    RETURN (SELECT jobs.job_id FROM rx.jobs WHERE jobs.job_key = made);
END
$$;
