-- Run a caller's query, with the caller's rights, and make pages of what it returns: rows of #rx_pages, a
-- table of the calling procedure. Values of parameters stand in its #rx_params; the columns go into its
-- #rx_script. What is more than one page goes into a table of its own, and the script is stored with it.

IF OBJECT_ID('rx.describe_query', 'P') IS NOT NULL DROP PROCEDURE rx.describe_query;
GO

-- The columns of a query, as rows of #rx_columns, a table of the calling procedure.
CREATE PROCEDURE rx.describe_query
    @query NVARCHAR(MAX),
    @params NVARCHAR(MAX),
    @declared NVARCHAR(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @copy NVARCHAR(MAX);
    IF CHARINDEX(N'#', @query) = 0
        BEGIN
        -- As text: it is looked up when it is run, and has the caller's rights.
            EXEC sp_executesql
                N'INSERT INTO #rx_columns (place, name, type_name, size, scale, error)
            SELECT
                column_ordinal - 1, ISNULL(name, N''''),
                LOWER(LEFT(system_type_name, CHARINDEX(N''('', CONCAT(system_type_name, N''('')) - 1)),
                CASE WHEN system_type_name LIKE N''decimal%'' OR system_type_name LIKE N''numeric%'' THEN precision
                    WHEN system_type_name LIKE N''n%char%'' AND max_length > 0 THEN max_length / 2
                    ELSE max_length END,
                scale, error_message
            FROM sys.dm_exec_describe_first_result_set(@query, @params, 0)
            WHERE ISNULL(is_hidden, 0) = 0;',
                N'@query NVARCHAR(MAX), @params NVARCHAR(MAX)', @query = @query, @params = @params;
            RETURN;
        END;
    -- Temporary tables are not known there: a copy without rows tells the columns.
    SET @copy = CONCAT(
        @declared, N'SELECT TOP (0) * INTO #rx_shape FROM (', @query, N') AS given;
        INSERT INTO #rx_columns (place, name, type_name, size, scale)
        SELECT columns.column_id - 1, columns.name, types.name,
            CASE WHEN types.name IN (''decimal'', ''numeric'') THEN columns.precision
                WHEN types.name IN (''nchar'', ''nvarchar'') AND columns.max_length > 0
                THEN columns.max_length / 2 ELSE columns.max_length END,
            columns.scale
        FROM tempdb.sys.columns AS columns
        INNER JOIN tempdb.sys.types AS types ON columns.system_type_id = types.user_type_id
        WHERE columns.object_id = OBJECT_ID(''tempdb..#rx_shape'');'
    );
    EXEC sp_executesql @copy;
END;
GO

IF OBJECT_ID('rx.stage_input', 'P') IS NOT NULL DROP PROCEDURE rx.stage_input;
GO

CREATE PROCEDURE rx.stage_input
    @query NVARCHAR(MAX),
    @params NVARCHAR(MAX),
    @param_values NVARCHAR(MAX),
    @order_by NVARCHAR(MAX),
    @partition_by NVARCHAR(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @problem NVARCHAR(2000), @columns NVARCHAR(MAX), @names NVARCHAR(MAX), @cells NVARCHAR(MAX);
    DECLARE @declared NVARCHAR(MAX), @keys NVARCHAR(MAX), @order NVARCHAR(MAX), @batch NVARCHAR(MAX);
    DECLARE @size NVARCHAR(MAX), @header NVARCHAR(MAX);
    CREATE TABLE #rx_columns (
        place INT NULL, name NVARCHAR(128) NULL, type_name NVARCHAR(256) NULL, size INT NULL, scale INT NULL,
        error NVARCHAR(4000) NULL
    );
    -- The query sees the parameters as variables of their types.
    SELECT
        @declared = STRING_AGG(
            CONCAT(
                CONVERT(NVARCHAR(MAX), N'DECLARE @'), given.name, N' ', given.declaration,
                N' = (SELECT ',
                CASE
                    WHEN given.is_binary = 1 THEN N'CONVERT(VARBINARY(MAX), cell, 2)'
                    -- The older types take no more than three digits of a second from a text.
                    WHEN UPPER(given.declaration) IN (N'DATETIME', N'SMALLDATETIME')
                        THEN N'CONVERT(DATETIME2(7), cell)'
                    ELSE N'cell'
                END,
                N' FROM #rx_params WHERE ordinal = ', given.ordinal, N'); '
            ), N''
        ) WITHIN GROUP (ORDER BY given.ordinal)
    FROM #rx_params AS given;
    EXEC rx.describe_query @query, @params, @declared;
    SET
        @problem
        = (SELECT TOP (1) CONCAT(N'The input query fails: ', error) FROM #rx_columns WHERE error IS NOT NULL);
    IF @problem IS NOT NULL EXEC rx.fail 51006, @problem;
    SET @problem = (
        SELECT TOP (1)
            CONCAT(
                N'The column "',
                known.name,
                N'" of the input query has the type ',
                ISNULL(known.type_name, N'of a class'),
                N', which a script cannot have. Convert it in the query, for example to nvarchar(max).'
            )
        FROM #rx_columns AS known
        WHERE NOT EXISTS (SELECT 1 FROM rx.type_of(known.type_name, known.size, known.scale))
        ORDER BY known.place
    );
    IF @problem IS NULL AND NOT EXISTS (SELECT 1 FROM #rx_columns)
        SET @problem = N'The input query returns no columns. It must be one SELECT.';
    IF @problem IS NOT NULL EXEC rx.fail 51006, @problem;

    SELECT
        @columns
        = STRING_AGG(CONCAT(CONVERT(NVARCHAR(MAX), N', c'), known.place, N' ', types.sql_type, N' NULL'), N'')
        WITHIN GROUP (ORDER BY known.place),
        @names = STRING_AGG(CONCAT(CONVERT(NVARCHAR(MAX), N'c'), known.place), N', ')
        WITHIN GROUP (ORDER BY known.place),
        @cells = STRING_AGG(
            CONCAT(
                CONVERT(NVARCHAR(MAX), REPLACE(types.cell, N'{0}', CONCAT(N'given.c', known.place))),
                N' AS [', known.place, N']'
            ), N', '
        ) WITHIN GROUP (ORDER BY known.place),
        @size = STRING_AGG(
            CASE
                WHEN types.sql_type LIKE N'%(max)'
                    THEN CONCAT(CONVERT(NVARCHAR(MAX), N'ISNULL(DATALENGTH(c'), known.place, N'), 0)')
            END, N' + '
        ),
        @header = CONCAT(
            N'[',
            STRING_AGG(
                CONCAT(
                    CONVERT(NVARCHAR(MAX), N'["'), STRING_ESCAPE(known.name, 'json'), N'","',
                    CASE WHEN known.type_name = N'sysname' THEN N'nvarchar' ELSE known.type_name END, N'",',
                    ISNULL(CONVERT(NVARCHAR(12), known.size), N'null'), N',',
                    ISNULL(CONVERT(NVARCHAR(12), known.scale), N'null'), N']'
                ), N','
            ) WITHIN GROUP (ORDER BY known.place),
            N']'
        )
    FROM #rx_columns AS known
    CROSS APPLY rx.type_of(known.type_name, known.size, known.scale) AS types;
    UPDATE #rx_script SET header = @header;
    EXEC rx.column_list @partition_by, N'@input_data_1_partition_by_columns', @keys OUTPUT;
    EXEC rx.column_list @order_by, N'@input_data_1_order_by_columns', @order OUTPUT;

    -- Pages are of at most 10,000 rows; where columns may be of any length, also of about 4 MB of those. The
    -- rows of several would take long to become JSON: they are stored as they are, while #rx_rows is there.
    -- A SELECT is run as it stands; what begins otherwise, as WITH does, where only a result set is expected.
    IF UPPER(LEFT(@query, 7)) NOT LIKE N'SELECT[^A-Z0-9_]'
        SET @query = CONCAT(N'EXEC (N''', REPLACE(CONCAT(@declared, @query), N'''', N''''''), N''')');
    SET @batch = CONCAT(
        N'SET NOCOUNT ON; ', @declared, N'
        CREATE TABLE #rx_rows (n INT IDENTITY (1, 1) NOT NULL PRIMARY KEY', @columns, N');
        INSERT INTO #rx_rows (', @names, N') ', @query, N';
        CREATE TABLE #rx_numbered (
            task INT NOT NULL, page INT NOT NULL, place INT NOT NULL, n INT NOT NULL, PRIMARY KEY (task, page, place)
        );
        INSERT INTO #rx_numbered (task, page, place, n)
        SELECT task, DENSE_RANK() OVER (PARTITION BY task ORDER BY bin) - 1, place, n
        FROM (
            SELECT task, place, n,
                (ROW_NUMBER() OVER (PARTITION BY task ORDER BY place) - 1) / 10000
                + SUM(size) OVER (PARTITION BY task ORDER BY place ROWS UNBOUNDED PRECEDING) / 4000000 AS bin
            FROM (
                SELECT n, ', COALESCE(N'DENSE_RANK() OVER (ORDER BY ' + @keys + N') - 1', N'0'), N' AS task,
                    ROW_NUMBER() OVER (ORDER BY ', COALESCE(@order + N', n', N'n'), N') AS place,
                    CONVERT(BIGINT, ', COALESCE(@size, N'0'), N') AS size
                FROM #rx_rows
            ) AS ranked
        ) AS measured;
        IF (SELECT COUNT(*) FROM #rx_numbered) > 10000 OR EXISTS (SELECT 1 FROM #rx_numbered WHERE page > 0)
        BEGIN
            INSERT INTO #rx_pages (task, page, row_count, body)
            SELECT task, page, COUNT(*), N'''' FROM #rx_numbered GROUP BY task, page;
            EXEC rx.store_script;
        END
        ELSE
            INSERT INTO #rx_pages (task, page, row_count, body)
            SELECT paged.task, paged.page, paged.row_count, (
                SELECT ', @cells, N'
                FROM #rx_numbered AS numbered
                INNER JOIN #rx_rows AS given ON numbered.n = given.n
                WHERE numbered.task = paged.task AND numbered.page = paged.page
                ORDER BY numbered.place
                FOR JSON PATH
            )
            FROM (SELECT task, page, COUNT(*) AS row_count FROM #rx_numbered GROUP BY task, page) AS paged;'
    );
    EXEC sp_executesql @batch;
END;
GO

IF OBJECT_ID('rx.column_list', 'P') IS NOT NULL DROP PROCEDURE rx.column_list;
GO

-- Names of columns, as the caller gave them, as those of #rx_rows; #rx_columns is a table of the caller's.
CREATE PROCEDURE rx.column_list
    @given NVARCHAR(MAX),
    @parameter NVARCHAR(128),
    @list NVARCHAR(MAX) OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE
        @rest NVARCHAR(MAX) = CONCAT(@given, N','),
        @one NVARCHAR(400),
        @descending BIT,
        @problem NVARCHAR(1000);
    DECLARE @place INT;
    SET @list = NULL;
    WHILE @rest NOT IN (N',', N'')
        BEGIN
            SET @one = LTRIM(RTRIM(LEFT(@rest, CHARINDEX(N',', @rest) - 1)));
            SET @rest = SUBSTRING(@rest, CHARINDEX(N',', @rest) + 1, 8000);
            SET @descending = CASE WHEN UPPER(@one) LIKE N'% DESC' THEN 1 ELSE 0 END;
            IF @descending = 1 SET @one = RTRIM(LEFT(@one, LEN(@one) - 5));
            IF UPPER(@one) LIKE N'% ASC' SET @one = RTRIM(LEFT(@one, LEN(@one) - 4));
            IF @one LIKE N'[[]%]' SET @one = REPLACE(SUBSTRING(@one, 2, LEN(@one) - 2), N']]', N']');
            SET @place = (SELECT MIN(place) FROM #rx_columns WHERE name = @one);
            IF @place IS NULL
                BEGIN
                    SET @problem = CONCAT(@parameter, N': the input query has no column "', @one, N'".');
                    EXEC rx.fail 51006, @problem;
                END;
            SET @list = CONCAT(@list + N', ', N'c', @place, CASE WHEN @descending = 1 THEN N' DESC' END);
        END;
END;
GO
