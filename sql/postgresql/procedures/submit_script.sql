-- Submit a script as a job: its input is what a query of the caller's returns, read with the caller's rights.
-- A worker starts it once the caller's transaction is committed.
-- Returns: the job's id.
CREATE OR REPLACE FUNCTION rx.submit_script(
    script TEXT,
    input_query TEXT DEFAULT NULL,
    params JSONB DEFAULT '{}',
    output_params TEXT[] DEFAULT '{}',
    partition_by TEXT[] DEFAULT '{}',
    num_tasks INTEGER DEFAULT 1,
    input_name TEXT DEFAULT 'InputDataSet',
    output_name TEXT DEFAULT 'OutputDataSet',
    job_id TEXT DEFAULT NULL
) RETURNS TEXT
LANGUAGE plpgsql
SET timezone = 'utc'
SET extra_float_digits = 1
AS $$
DECLARE
    made TEXT;
    header TEXT;
    cells TEXT;
    keys TEXT;
    tasks INTEGER := 1;
    entries JSONB;
BEGIN
    IF script IS NULL THEN
        RAISE EXCEPTION 'The script is NULL. Give its text.';
    END IF;
    IF JSONB_TYPEOF(COALESCE(params, '{}')) <> 'object' THEN
        RAISE EXCEPTION 'params must be a JSON object such as {"name": 1}.';
    END IF;
    SELECT COALESCE(JSONB_AGG(JSONB_BUILD_OBJECT(
        'name', names.name, 'type', '', 'value', params -> names.name,
        'output', names.name = ANY (COALESCE(output_params, '{}'))
    )), '[]') INTO entries
    FROM (SELECT JSONB_OBJECT_KEYS(params) AS name UNION SELECT UNNEST(output_params)) AS names;

    IF COALESCE(BTRIM(input_query, E' \t\r\n;'), '') = '' THEN
        made := rx.add_script(job_id, script, entries, input_name, output_name, tasks, num_tasks);
        PERFORM rx.add_page(made, 0, 0, 0, '[]', '[]');
        RETURN made;
    END IF;
    IF TO_REGCLASS('pg_temp.rx_input') IS NOT NULL THEN
        DROP TABLE pg_temp.rx_input;
    END IF;
    EXECUTE 'CREATE TEMPORARY TABLE rx_input AS ' || RTRIM(input_query, E' \t\r\n;');
    SELECT
        '[' || COALESCE(STRING_AGG(
            JSON_BUILD_ARRAY(attribute.attname, known.sql_type, NULL, NULL)::TEXT, ',' ORDER BY attribute.attnum
        ), '') || ']',
        COALESCE('''['' || ' || STRING_AGG(
            'COALESCE(TO_JSON(' || FORMAT(known.cell, QUOTE_IDENT(attribute.attname)) || ')::TEXT, ''null'')',
            ' || '','' || ' ORDER BY attribute.attnum
        ) || ' || '']''', '''[]''')
    INTO header, cells
    FROM pg_catalog.pg_attribute AS attribute
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN attribute.atttypid = 'boolean'::REGTYPE THEN ARRAY['bit', '%s']
            WHEN attribute.atttypid = 'smallint'::REGTYPE THEN ARRAY['smallint', '%s']
            WHEN attribute.atttypid = 'integer'::REGTYPE THEN ARRAY['int', '%s']
            WHEN attribute.atttypid = 'bigint'::REGTYPE THEN ARRAY['bigint', '%s']
            WHEN attribute.atttypid IN ('real'::REGTYPE, 'double precision'::REGTYPE)
                THEN ARRAY['float', 'CASE WHEN ABS(%1$s) <= 1.7976931348623157e308 THEN %1$s END']
            WHEN attribute.atttypid = 'numeric'::REGTYPE
                THEN ARRAY['decimal', 'CASE WHEN %1$s NOT IN (''NaN'', ''Infinity'', ''-Infinity'') THEN %1$s::TEXT END']
            WHEN attribute.atttypid = 'bytea'::REGTYPE THEN ARRAY['varbinary', 'ENCODE(%s, ''hex'')']
            WHEN attribute.atttypid = 'date'::REGTYPE THEN ARRAY['date', 'TO_JSON(%s)']
            WHEN attribute.atttypid = 'time'::REGTYPE THEN ARRAY['time', '%s::TEXT']
            WHEN attribute.atttypid = 'timestamp'::REGTYPE THEN ARRAY['datetime2', 'TO_JSON(%s)']
            WHEN attribute.atttypid = 'timestamptz'::REGTYPE THEN ARRAY['datetimeoffset', 'TO_JSON(%s)']
            WHEN attribute.atttypid = 'uuid'::REGTYPE THEN ARRAY['uniqueidentifier', '%s::TEXT']
            ELSE ARRAY['nvarchar', '%s::TEXT']
        END AS pair
    ) AS chosen
    CROSS JOIN LATERAL (SELECT chosen.pair[1] AS sql_type, chosen.pair[2] AS cell) AS known
    WHERE attribute.attrelid = 'pg_temp.rx_input'::REGCLASS AND attribute.attnum > 0 AND NOT attribute.attisdropped;
    SELECT STRING_AGG(QUOTE_IDENT(name), ', ' ORDER BY place) INTO keys
    FROM UNNEST(partition_by) WITH ORDINALITY AS given (name, place);

    -- One task a partition.
    IF keys IS NOT NULL THEN
        EXECUTE 'SELECT COUNT(*) FROM (SELECT DISTINCT ' || keys || ' FROM pg_temp.rx_input) AS partitions' INTO tasks;
    END IF;
    made := rx.add_script(job_id, script, entries, input_name, output_name, GREATEST(tasks, 1), num_tasks);
    -- Pages in the order of the query, of at most 10,000 rows or about 4 MB: one at a time is in memory. They are
    -- put together as text: a JSONB value a row would take three times as long.
    EXECUTE FORMAT(
        'SELECT rx.add_page(
            $1, task, (ROW_NUMBER() OVER (PARTITION BY task ORDER BY bin) - 1)::INTEGER, row_count, $2, body
        )
        FROM (
            SELECT task, bin, COUNT(*)::INTEGER AS row_count, ''['' || STRING_AGG(cells, '','' ORDER BY place) || '']'' AS body
            FROM (
                SELECT
                    task, place, cells,
                    (ROW_NUMBER() OVER in_order - 1) / 10000 + SUM(PG_COLUMN_SIZE(cells)) OVER in_order / 4000000 AS bin
                FROM (
                    SELECT %1$s AS task, ROW_NUMBER() OVER (ORDER BY ctid) AS place, %2$s AS cells
                    FROM pg_temp.rx_input
                ) AS ranked
                WINDOW in_order AS (PARTITION BY task ORDER BY place ROWS UNBOUNDED PRECEDING)
            ) AS numbered
            GROUP BY task, bin
        ) AS paged',
        COALESCE('(DENSE_RANK() OVER (ORDER BY ' || keys || ') - 1)::INTEGER', '0'), cells
    ) USING made, header;
    IF NOT EXISTS (SELECT FROM pg_temp.rx_input) THEN
        PERFORM rx.add_page(made, 0, 0, 0, header, '[]');
    END IF;
    DROP TABLE pg_temp.rx_input;
    RETURN made;
END
$$;
