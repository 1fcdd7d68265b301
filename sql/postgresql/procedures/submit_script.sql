-- Submit a script as a job: its input is what a query of the caller's returns, read with the caller's rights
-- and settings. Only that query is looked up along the caller's search_path, on which others may have put
-- functions of their own. A worker starts the script once the caller's transaction is committed.
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
AS $$
DECLARE
    query TEXT := pg_catalog.rtrim(input_query, E' \t\r\n;');
    staged TEXT;
BEGIN
    IF script IS NULL THEN
        RAISE EXCEPTION 'The script is NULL. Give its text.';
    END IF;
    IF pg_catalog.jsonb_typeof(COALESCE(params, '{}')) <> 'object' THEN
        RAISE EXCEPTION 'params must be a JSON object such as {"name": 1}.';
    END IF;
    IF num_tasks < 0 THEN
        RAISE EXCEPTION 'num_tasks is the most children at once, 0 for no limit; it cannot be %.', num_tasks;
    END IF;
    IF pg_catalog.btrim(query, E' \t\r\n;') <> '' THEN
        staged := pg_catalog.concat('rx_input_', pg_catalog.gen_random_uuid());
        EXECUTE pg_catalog.format('CREATE TEMPORARY TABLE %I AS %s', staged, query);
    END IF;
    RETURN rx.stage_script(
        staged, script, params, output_params, partition_by, COALESCE(num_tasks, 1),
        COALESCE(input_name, 'InputDataSet'), COALESCE(output_name, 'OutputDataSet'), job_id
    );
END
$$;

-- Store a script of the caller's, and as its input the temporary table of that name, which is dropped then.
-- Returns: the job's id.
CREATE OR REPLACE FUNCTION rx.stage_script(
    staged TEXT, script TEXT, params JSONB, output_params TEXT[], partition_by TEXT[], num_tasks INTEGER,
    input_name TEXT, output_name TEXT, job_id TEXT
) RETURNS TEXT
LANGUAGE plpgsql
SET search_path = rx, pg_temp
SET timezone = 'utc'
SET extra_float_digits = 1
AS $$
DECLARE
    made TEXT;
    source TEXT := 'pg_temp.' || QUOTE_IDENT(staged);
    header TEXT;
    cells TEXT;
    keys TEXT;
    tasks INTEGER := 1;
    entries JSONB;
    is_empty BOOLEAN;
BEGIN
    SELECT COALESCE(JSONB_AGG(JSONB_BUILD_OBJECT(
        'name', names.name, 'type', '', 'value', params -> names.name,
        'output', names.name = ANY (COALESCE(output_params, '{}'))
    )), '[]') INTO entries
    FROM (SELECT JSONB_OBJECT_KEYS(params) AS name UNION SELECT UNNEST(output_params)) AS names;

    IF staged IS NULL THEN
        made := rx.add_script(job_id, script, entries, input_name, output_name, tasks, num_tasks);
        PERFORM rx.add_page(made, 0, 0, 0, '[]', '[]');
        RETURN made;
    END IF;
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
        -- Of a domain, what it is made of.
        WITH RECURSIVE layers AS (
            SELECT attribute.atttypid AS type_id
            UNION ALL
            SELECT domain.typbasetype FROM layers
            INNER JOIN pg_catalog.pg_type AS domain ON layers.type_id = domain.oid
            WHERE domain.typtype = 'd'
        )
        SELECT layers.type_id FROM layers
        INNER JOIN pg_catalog.pg_type AS last ON layers.type_id = last.oid
        WHERE last.typtype <> 'd'
    ) AS base
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN base.type_id = 'boolean'::REGTYPE THEN ARRAY['bit', '%s']
            WHEN base.type_id = 'smallint'::REGTYPE THEN ARRAY['smallint', '%s']
            WHEN base.type_id = 'integer'::REGTYPE THEN ARRAY['int', '%s']
            WHEN base.type_id = 'bigint'::REGTYPE THEN ARRAY['bigint', '%s']
            WHEN base.type_id IN ('real'::REGTYPE, 'double precision'::REGTYPE)
                THEN ARRAY['float', 'CASE WHEN ABS(%1$s) <= 1.7976931348623157e308 THEN %1$s END']
            WHEN base.type_id = 'numeric'::REGTYPE
                THEN ARRAY['decimal', 'CASE WHEN %1$s NOT IN (''NaN'', ''Infinity'', ''-Infinity'') THEN %1$s::TEXT END']
            WHEN base.type_id = 'money'::REGTYPE THEN ARRAY['decimal', '%s::NUMERIC::TEXT']
            WHEN base.type_id = 'bytea'::REGTYPE THEN ARRAY['varbinary', 'ENCODE(%s, ''hex'')']
            WHEN base.type_id = 'date'::REGTYPE THEN ARRAY['date', 'CASE WHEN ISFINITE(%1$s) THEN %1$s END']
            WHEN base.type_id = 'time'::REGTYPE THEN ARRAY['time', '%s::TEXT']
            WHEN base.type_id = 'timestamp'::REGTYPE THEN ARRAY['datetime2', 'CASE WHEN ISFINITE(%1$s) THEN %1$s END']
            WHEN base.type_id = 'timestamptz'::REGTYPE THEN ARRAY['datetimeoffset', 'CASE WHEN ISFINITE(%1$s) THEN %1$s END']
            WHEN base.type_id = 'uuid'::REGTYPE THEN ARRAY['uniqueidentifier', '%s::TEXT']
            ELSE ARRAY['nvarchar', '%s::TEXT']
        END AS pair
    ) AS chosen
    CROSS JOIN LATERAL (SELECT chosen.pair[1] AS sql_type, chosen.pair[2] AS cell) AS known
    WHERE attribute.attrelid = source::REGCLASS AND attribute.attnum > 0 AND NOT attribute.attisdropped;
    SELECT STRING_AGG(QUOTE_IDENT(name), ', ' ORDER BY place) INTO keys
    FROM UNNEST(partition_by) WITH ORDINALITY AS given (name, place);

    -- One task a partition.
    IF keys IS NOT NULL THEN
        EXECUTE 'SELECT COUNT(*) FROM (SELECT DISTINCT ' || keys || ' FROM ' || source || ') AS partitions' INTO tasks;
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
                    FROM %3$s
                ) AS ranked
                WINDOW in_order AS (PARTITION BY task ORDER BY place ROWS UNBOUNDED PRECEDING)
            ) AS numbered
            GROUP BY task, bin
        ) AS paged',
        COALESCE('(DENSE_RANK() OVER (ORDER BY ' || keys || ') - 1)::INTEGER', '0'), cells, source
    ) USING made, header;
    EXECUTE 'SELECT NOT EXISTS (SELECT FROM ' || source || ')' INTO is_empty;
    IF is_empty THEN
        PERFORM rx.add_page(made, 0, 0, 0, header, '[]');
    END IF;
    EXECUTE 'DROP TABLE ' || source;
    RETURN made;
END
$$;
