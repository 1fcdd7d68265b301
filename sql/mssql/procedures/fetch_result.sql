-- The rows that a script or published function returned, as a result set with its columns' names and types;
-- no result set where it left none. Usable in INSERT ... EXEC.

IF OBJECT_ID('rx.finished_job', 'P') IS NOT NULL DROP PROCEDURE rx.finished_job;
GO

-- The key of a finished job; one error that says why there is no result where it has not finished.
CREATE PROCEDURE rx.finished_job
    @job_id NVARCHAR(128),
    @job_key BIGINT OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @status VARCHAR(16), @error NVARCHAR(MAX), @purged_at DATETIME2(3), @kind VARCHAR(16);
    DECLARE @trace NVARCHAR(MAX), @problem NVARCHAR(2048), @number INT = 51004;
    SET @job_key = rx.own_job(@job_id);
    SELECT
        @status = status,
        @error = error,
        @purged_at = purged_at,
        @kind = kind
    FROM rx.jobs
    WHERE job_key = @job_key;
    IF @job_key IS NULL
        SELECT
            @number = 51002,
            @problem = CONCAT(N'There is no job "', @job_id, N'", or it is another user''s.');
    ELSE IF @purged_at IS NOT NULL
        SET @problem = CONCAT(N'The result of job "', @job_id, N'" was removed.');
    ELSE IF @status IN ('queued', 'running')
        SET @problem = CONCAT(
            N'The job "',
            @job_id,
            N'" is ',
            @status,
            N'; it has no result yet. Wait for it: EXEC rx.wait_for_job.'
        );
    ELSE IF @status = 'canceled'
        SELECT
            @number = 51005,
            @problem = CONCAT(N'The job "', @job_id, N'" was canceled; it has no result. ', @error);
    ELSE IF @status = 'failed'
        BEGIN
            SET @trace = (
                SELECT TOP (1) traceback FROM rx.results
                WHERE job_key = @job_key AND error IS NOT NULL
                ORDER BY run
            );
            SELECT
                @number = 51003,
                -- An error's text has at most 2,047 characters: of a long traceback the end is what matters.
                @problem = CONCAT(
                    LEFT(CONCAT(N'The script failed (job ', @job_id, N'): ', @error), 900),
                    NCHAR(10),
                    RIGHT(@trace, 1100)
                );
        END;
    ELSE IF @kind = 'function'
        SET
            @problem
            = CONCAT(N'The results of job "', @job_id, N'" are Python''s: rx_get_job_results reads them.');
    IF @problem IS NOT NULL EXEC rx.fail @number, @problem;
END;
GO

IF OBJECT_ID('rx.select_output', 'P') IS NOT NULL DROP PROCEDURE rx.select_output;
GO

-- Select a job's rows, in their order: those of the pages of #rx_out, a table of rx.fetch_result, and where
-- some have no body, those of the job's table.
CREATE PROCEDURE rx.select_output
    @job_key BIGINT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @name NVARCHAR(40) = CONCAT(N'rx.output_', @job_key), @problem NVARCHAR(400);
    DECLARE @names NVARCHAR(MAX), @width INT, @paths NVARCHAR(MAX), @cells NVARCHAR(MAX);
    DECLARE @typed NVARCHAR(MAX), @batch NVARCHAR(MAX), @header NVARCHAR(MAX);
    SET @header = (SELECT TOP (1) header FROM #rx_out WHERE body = N'' ORDER BY task, page);
    IF @header IS NOT NULL AND OBJECT_ID(@name, 'U') IS NULL
        BEGIN
            SET
                @problem
                = CONCAT(N'The result is not in the store any more: the table ', @name, N' is gone.');
            EXEC rx.fail 51004, @problem;
        END;
    -- The runs of partitions may differ in a column's type: then it is text.
    CREATE TABLE #rx_columns (
        place INT NOT NULL,
        name NVARCHAR(128) NULL,
        type_name NVARCHAR(128) NOT NULL,
        size INT NULL,
        scale INT NULL
    );
    INSERT INTO #rx_columns (place, name, type_name, size, scale)
    SELECT
        own.place,
        MIN(own.name) AS name,
        CASE WHEN MIN(own.type_name) = MAX(own.type_name) THEN MIN(own.type_name) ELSE N'nvarchar' END
            AS type_name,
        CASE
            WHEN MIN(own.type_name) <> MAX(own.type_name) THEN -1
            WHEN MIN(own.type_name) = N'decimal' THEN MAX(own.size - own.scale) + MAX(own.scale)
            ELSE MAX(own.size)
        END AS size,
        MAX(COALESCE(own.scale, own.size)) AS scale
    FROM (SELECT DISTINCT header FROM #rx_out) AS headers
    CROSS APPLY rx.columns_of(headers.header) AS own
    GROUP BY own.place;
    SELECT
        @width = COUNT(*),
        -- What is converted loses its name: so a column is returned that has none.
        @names = STRING_AGG(
            CASE
                WHEN known.name = N''
                    THEN CONCAT(
                        CONVERT(NVARCHAR(MAX), N'CONVERT('), types.sql_type, N', found.c', known.place, N')'
                    )
                ELSE CONCAT(
                    CONVERT(NVARCHAR(MAX), N'found.c'), known.place, N' AS ', QUOTENAME(known.name)
                )
            END, N', '
        ) WITHIN GROUP (ORDER BY known.place),
        @paths = STRING_AGG(
            CONCAT(
                CONVERT(NVARCHAR(MAX), N'c'), known.place, N' ', types.json_type,
                N' ''$[', known.place, N']'''
            ),
            N', '
        ) WITHIN GROUP (ORDER BY known.place),
        @cells = STRING_AGG(
            CONCAT(
                CONVERT(NVARCHAR(MAX), REPLACE(types.back, N'{0}', CONCAT(N'cells.c', known.place))),
                N' AS c', known.place
            ), N', '
        ) WITHIN GROUP (ORDER BY known.place)
    FROM #rx_columns AS known
    CROSS APPLY rx.type_of(known.type_name, known.size, known.scale) AS types;
    SELECT
        @typed = STRING_AGG(
            CONCAT(
                CASE
                    WHEN types.sql_type = own.sql_type
                        THEN CONCAT(CONVERT(NVARCHAR(MAX), N'given.c'), known.place)
                    ELSE CONCAT(
                        CONVERT(NVARCHAR(MAX), N'CONVERT('),
                        types.sql_type,
                        N', ',
                        REPLACE(
                            CASE WHEN known.type_name = own.type_name THEN N'{0}' ELSE own.cell END,
                            N'{0}',
                            CONCAT(N'given.c', known.place)
                        ),
                        N')'
                    )
                END,
                N' AS c', known.place
            ), N', '
        ) WITHIN GROUP (ORDER BY known.place)
    FROM #rx_columns AS known
    INNER JOIN rx.columns_of(COALESCE(@header, N'[]')) AS own ON known.place = own.place
    CROSS APPLY rx.type_of(known.type_name, known.size, known.scale) AS types;
    -- The last cell of a row is its number.
    IF EXISTS (SELECT 1 FROM #rx_out WHERE body <> N'')
        SET @batch = CONCAT(
            N'SELECT pages.task, pages.page, cells.place, ', @cells, N'
            FROM #rx_out AS pages
            CROSS APPLY OPENJSON(pages.body) WITH (', @paths, N', place INT ''$[', @width, N']'') AS cells
            WHERE pages.body <> N'''''
        );
    IF @header IS NOT NULL
        SET @batch = CONCAT(
            @batch + N' UNION ALL ',
            N'SELECT given.task, given.page, given.place, ', @typed, N' FROM ', @name, N' AS given'
        );
    SET @batch = CONCAT(
        N'SELECT ', @names, N' FROM (', @batch, N') AS found ORDER BY found.task, found.page, found.place;'
    );
    EXEC sp_executesql @batch;
END;
GO

IF OBJECT_ID('rx.fetch_result', 'P') IS NOT NULL DROP PROCEDURE rx.fetch_result;
GO

CREATE PROCEDURE rx.fetch_result
    @job_id NVARCHAR(128)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @job_key BIGINT;
    EXEC rx.finished_job @job_id, @job_key OUTPUT;
    -- The pages are copied, as dynamic SQL runs with the caller's rights, who has none on rx.frames; and none
    -- on the job's table, which is read with its owner's.
    CREATE TABLE #rx_out (
        task INT NOT NULL, page INT NOT NULL, header NVARCHAR(MAX) NOT NULL, body NVARCHAR(MAX) NOT NULL
    );
    INSERT INTO #rx_out (task, page, header, body)
    SELECT
        task,
        page,
        header,
        body
    FROM rx.frames
    WHERE job_key = @job_key AND direction = 'out' AND header <> N'[]';
    IF EXISTS (SELECT 1 FROM #rx_out WHERE body = N'')
        EXEC rx.select_output_table @job_key;
    ELSE IF EXISTS (SELECT 1 FROM #rx_out)
        EXEC rx.select_output @job_key;
END;
GO

IF OBJECT_ID('rx.fetch_parameters', 'P') IS NOT NULL DROP PROCEDURE rx.fetch_parameters;
GO

-- The OUTPUT parameters of a script, as a JSON object: of the last run, where there are several.
CREATE PROCEDURE rx.fetch_parameters
    @job_id NVARCHAR(128),
    @param_values NVARCHAR(MAX) OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @job_key BIGINT;
    EXEC rx.finished_job @job_id, @job_key OUTPUT;
    SET @param_values = (
        SELECT
            CONCAT(
                N'{',
                STRING_AGG(
                    CONCAT(
                        CONVERT(NVARCHAR(MAX), N'"'),
                        STRING_ESCAPE(JSON_VALUE(entry.value, '$[0]'), 'json'),
                        N'": ',
                        CASE
                            WHEN cell.type = 1 THEN CONCAT(N'"', STRING_ESCAPE(cell.value, 'json'), N'"')
                            WHEN cell.type = 0 THEN N'null'
                            ELSE cell.value
                        END
                    ), N', '
                ) WITHIN GROUP (ORDER BY CONVERT(INT, entry.[key])),
                N'}'
            )
        FROM (
            SELECT TOP (1)
                header,
                body
            FROM rx.frames
            WHERE job_key = @job_key AND direction = 'param'
            ORDER BY task DESC
        ) AS last_run
        CROSS APPLY OPENJSON(last_run.header) AS entry
        CROSS APPLY OPENJSON(JSON_QUERY(last_run.body, '$[0]')) AS cell
        WHERE cell.[key] = entry.[key]
    );
END;
GO
