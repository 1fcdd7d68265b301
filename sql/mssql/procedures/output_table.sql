-- Results of more than a megabyte, of jobs that SQL submitted: rx.output_<job_key>.

IF OBJECT_ID('rx.put_output', 'P') IS NOT NULL DROP PROCEDURE rx.put_output;
GO

-- Store a page of a large result; one that is there stays as it is. The table has the columns of the first: a
-- page that has others, or more than a table's row holds, stays one, and so does that of a job of Python's.
CREATE PROCEDURE rx.put_output
    @job_key BIGINT,
    @task INT,
    @page INT,
    @row_count INT,
    @header NVARCHAR(MAX),
    @body NVARCHAR(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @paths NVARCHAR(MAX), @columns NVARCHAR(MAX), @cells NVARCHAR(MAX), @batch NVARCHAR(MAX);
    DECLARE @width INT, @is_typed BIT = 0, @known NVARCHAR(MAX);
    DECLARE @lock NVARCHAR(80) = CONCAT(N'rxsql.output_', @job_key);
    -- One at a time makes the table, or removes it.
    EXEC sp_getapplock @Resource = @lock, @LockMode = N'Exclusive';
    SELECT
        @width = COUNT(*),
        @columns = STRING_AGG(CONCAT(CONVERT(NVARCHAR(MAX), N'c'), known.place), N', ')
        WITHIN GROUP (ORDER BY known.place),
        @paths = STRING_AGG(
            CONCAT(
                CONVERT(NVARCHAR(MAX), N'c'), known.place, N' ', known.json_type,
                N' ''$[', known.place, N']'', '
            ), N''
        ) WITHIN GROUP (ORDER BY known.place),
        @cells = STRING_AGG(
            REPLACE(CONVERT(NVARCHAR(MAX), known.back), N'{0}', CONCAT(N'c', known.place)), N', '
        ) WITHIN GROUP (ORDER BY known.place)
    FROM rx.columns_of(@header) AS known;
    SET @known = (
        SELECT TOP (1) header FROM rx.frames
        WHERE job_key = @job_key AND direction = 'out' AND body = N''
        ORDER BY task, page
    );
    IF
        @width = (SELECT COUNT(*) FROM OPENJSON(@header))
        AND @width BETWEEN 1 AND 300
        AND COALESCE(@known, @header) = @header
        AND EXISTS (
            SELECT 1 FROM rx.jobs
            WHERE job_key = @job_key AND JSON_VALUE(context, '$.connection_string') = N'sql'
        )
        SET @is_typed = 1;
    INSERT INTO rx.frames (job_key, direction, task, page, row_count, header, body)
    SELECT
        @job_key AS job_key,
        'out' AS direction,
        @task AS task,
        @page AS page,
        @row_count AS row_count,
        @header AS header,
        CASE WHEN @is_typed = 1 THEN N'' ELSE @body END AS body
    WHERE NOT EXISTS (
        SELECT 1 FROM rx.frames WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
        WHERE job_key = @job_key AND direction = 'out' AND task = @task AND page = @page
    );
    IF @@ROWCOUNT = 0 OR @is_typed = 0 RETURN;
    IF @known IS NULL EXEC rx.make_table @job_key, 'out', @header;
    SET @batch = CONCAT(
        N'INSERT INTO rx.output_', @job_key, N' (task, page, place, ', @columns, N')
        SELECT @task AS task, @page AS page, place, ', @cells, N'
        FROM OPENJSON (@body) WITH (', @paths, N'place INT ''$[', @width, N']'') AS cells;'
    );
    EXEC sp_executesql
        @batch, N'@task INT, @page INT, @body NVARCHAR(MAX)', @task = @task, @page = @page, @body = @body;
END;
GO
