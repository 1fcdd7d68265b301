-- The table submit_script: inserting a row into it submits a script as a job, which a running worker begins.
--
--     INSERT INTO submit_script (script, input_data, params, output_params)
--     SELECT 'OutputDataSet = InputDataSet * k', JSON_GROUP_ARRAY(JSON_OBJECT('x', x)), '{"k": 2}', '[]'
--     FROM points;
--
-- Only script is needed. input_data is a JSON array of objects, a row each; params a JSON object;
-- output_params a JSON array of names; job_id an id of one's own. The rows that the script leaves are in
-- script_results.

-- noqa: disable=RF01
-- (new is the row to insert)

DROP VIEW IF EXISTS submit_script;

CREATE VIEW submit_script AS
SELECT
    jobs.job_id,
    scripts.script,
    frames.body AS input_data,
    scripts.params,
    NULL AS output_params,
    scripts.input_name,
    scripts.output_name
FROM scripts
INNER JOIN jobs ON scripts.job_key = jobs.job_key
LEFT JOIN frames ON scripts.job_key = frames.job_key AND frames.direction = 'in' AND frames.page = 0
WHERE jobs.kind = 'script';

CREATE TRIGGER submit_script_insert
INSTEAD OF INSERT ON submit_script
BEGIN
    SELECT RAISE(ABORT, 'script is NULL: give the text of a script.')
    WHERE new.script IS NULL;
    SELECT RAISE(ABORT, 'A value is a BLOB and no text: convert it, as in CAST(READFILE(''a.py'') AS TEXT).')
    WHERE
        'blob' IN (
            TYPEOF(new.job_id),
            TYPEOF(new.script),
            TYPEOF(new.input_data),
            TYPEOF(new.params),
            TYPEOF(new.output_params),
            TYPEOF(new.input_name),
            TYPEOF(new.output_name)
        );
    -- Of ASCII, only these; of other alphabets, everything.
    SELECT RAISE(ABORT, 'The job_id is not up to 128 letters, digits and . _ : -')
    WHERE
        LENGTH(new.job_id) NOT BETWEEN 1 AND 128
        OR new.job_id GLOB '*[' || CHAR(1) || '-,/;-@[-^`{-' || CHAR(127) || ']*';
    SELECT RAISE(ABORT, 'A job of this job_id is there already: choose another one.')
    WHERE EXISTS (SELECT 1 FROM jobs WHERE jobs.job_id = new.job_id);
    SELECT RAISE(ABORT, 'input_data must be a JSON array of objects, such as [{"x": 1}, {"x": 2}].')
    WHERE
        new.input_data IS NOT NULL
        AND (NOT JSON_VALID(new.input_data) OR JSON_TYPE(new.input_data) <> 'array');
    SELECT RAISE(ABORT, 'params must be a JSON object, such as {"k": 2}.')
    WHERE new.params IS NOT NULL AND (NOT JSON_VALID(new.params) OR JSON_TYPE(new.params) <> 'object');
    SELECT RAISE(ABORT, 'output_params must be a JSON array of names, such as ["total"].')
    WHERE
        new.output_params IS NOT NULL
        AND (NOT JSON_VALID(new.output_params) OR JSON_TYPE(new.output_params) <> 'array');
    INSERT INTO jobs (
        job_id,
        name,
        kind,
        run_count,
        num_tasks,
        max_attempts,
        continue_on_failure,
        has_inputs,
        packages_to_load,
        execution_timeout_seconds, auto_cleanup, console_output, context, python, function_hash, submitted_by
    )
    SELECT
        COALESCE(
            new.job_id, STRFTIME('%Y%m%d-%H%M%S-', 'now') || LOWER(HEX(RANDOMBLOB(4)))
        ) AS job_id,
        'script' AS name,
        'script' AS kind,
        1 AS run_count,
        1 AS num_tasks,
        3 AS max_attempts,
        0 AS continue_on_failure,
        1 AS has_inputs,
        '[]' AS packages_to_load,
        0 AS execution_timeout_seconds,
        0 AS auto_cleanup,
        0 AS console_output,
        '{"connection_string": "sql", "num_tasks": 1, "execution_timeout_seconds": 0, "wait": false, '
        || '"console_output": false, "auto_cleanup": false, "packages_to_load": [], '
        || '"description": "sqlserver", '
        || '"version": "1.0"}' AS context,
        '' AS python,
        '' AS function_hash,
        'sql' AS submitted_by;
    INSERT INTO scripts (job_key, language, script, input_name, output_name, params)
    SELECT
        (SELECT MAX(jobs.job_key) FROM jobs) AS job_key,
        'Python' AS language,
        new.script,
        COALESCE(new.input_name, 'InputDataSet') AS input_name,
        COALESCE(new.output_name, 'OutputDataSet') AS output_name,
        (
            SELECT
                JSON_GROUP_ARRAY(JSON_OBJECT(
                    'name', names.name,
                    'type', '',
                    'value', JSON(new.params -> given.fullkey), -- a number keeps its digits
                    'output', JSON(IIF(
                        names.name IN (
                            SELECT wanted.value FROM JSON_EACH(COALESCE(new.output_params, '[]')) AS wanted
                        ),
                        'true', 'false'
                    ))
                ))
            FROM (
                SELECT entry.key AS name FROM JSON_EACH(COALESCE(new.params, '{}')) AS entry
                UNION
                SELECT output.value FROM JSON_EACH(COALESCE(new.output_params, '[]')) AS output
            ) AS names
            LEFT JOIN JSON_EACH(COALESCE(new.params, '{}')) AS given ON names.name = given.key
        ) AS params;
    INSERT INTO frames (job_key, direction, task, page, row_count, header, body)
    SELECT
        (SELECT MAX(jobs.job_key) FROM jobs) AS job_key,
        'in' AS direction,
        0 AS task,
        0 AS page,
        JSON_ARRAY_LENGTH(COALESCE(new.input_data, '[]')) AS row_count,
        '' AS header,
        COALESCE(new.input_data, '[]') AS body;
    INSERT INTO task_rows (job_key, task, first_run, run_count)
    SELECT
        (SELECT MAX(jobs.job_key) FROM jobs) AS job_key,
        0 AS task,
        0 AS first_run,
        1 AS run_count;
END;

DROP VIEW IF EXISTS script_results;

-- What finished scripts and published functions returned: a row a row, as a JSON object, and their OUTPUT
-- parameters (kind param), one object a run. Numbers come as their text, with all its digits.
CREATE VIEW script_results AS
SELECT
    jobs.job_id,
    frames.task,
    frames.direction AS kind,
    frames.page * 100000 + line.key AS place,
    (
        SELECT
            JSON_GROUP_OBJECT(
                JSON_EXTRACT(heading.value, '$[0]'),
                JSON(line.value -> heading.key)
            )
        FROM JSON_EACH(frames.header) AS heading
    ) AS result
FROM frames
INNER JOIN jobs ON frames.job_key = jobs.job_key
CROSS JOIN JSON_EACH(frames.body) AS line
WHERE frames.direction IN ('out', 'param') AND jobs.status = 'finished';
