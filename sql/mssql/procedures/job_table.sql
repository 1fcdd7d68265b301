-- The rows of large inputs and results stand in tables of the job's own, rx.input_<job_key> and
-- rx.output_<job_key>: task, page and place of a row among its task's, and its columns with their types.
-- Their pages in rx.frames have a header and a number of rows, and no body.

IF OBJECT_ID('rx.make_table', 'P') IS NOT NULL DROP PROCEDURE rx.make_table;
GO

-- Make the table of a direction, in or out, for the columns of a header.
CREATE PROCEDURE rx.make_table
    @job_key BIGINT,
    @direction VARCHAR(8),
    @header NVARCHAR(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE
        @name NVARCHAR(40) = CONCAT(@direction, N'put_', @job_key),
        @columns NVARCHAR(MAX),
        @batch NVARCHAR(MAX);
    SET @columns = (
        SELECT
            STRING_AGG(
                CONCAT(CONVERT(NVARCHAR(MAX), N', c'), known.place, N' ', known.sql_type, N' NULL'), N''
            ) WITHIN GROUP (ORDER BY known.place)
        FROM rx.columns_of(@header) AS known
    );
    SET @batch = CONCAT(
        N'CREATE TABLE rx.', @name, N' (
            task INT NOT NULL, page INT NOT NULL, place INT NOT NULL', @columns, N',
            CONSTRAINT pk_', @name, N' PRIMARY KEY CLUSTERED (task, page, place)
        );'
    );
    EXEC sp_executesql @batch;
END;
GO

IF OBJECT_ID('rx.allow_input', 'P') IS NOT NULL DROP PROCEDURE rx.allow_input;
GO

-- Let all write into a job's input, which nobody else sees before the transaction ends, or nobody any more.
CREATE PROCEDURE rx.allow_input
    @job_key BIGINT,
    @is_open BIT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @batch NVARCHAR(400) = CONCAT(
        CASE WHEN @is_open = 1 THEN N'GRANT' ELSE N'REVOKE' END,
        N' INSERT ON rx.input_',
        @job_key,
        CASE WHEN @is_open = 1 THEN N' TO public;' ELSE N' FROM public;' END
    );
    EXEC sp_executesql @batch;
END;
GO

IF OBJECT_ID('rx.trim_table', 'P') IS NOT NULL DROP PROCEDURE rx.trim_table;
GO

-- Remove the rows of pages that are gone, and the table with the last of them.
CREATE PROCEDURE rx.trim_table
    @job_key BIGINT,
    @direction VARCHAR(8)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @name NVARCHAR(40) = CONCAT(N'rx.', @direction, N'put_', @job_key), @batch NVARCHAR(600);
    DECLARE @lock NVARCHAR(80) = CONCAT(N'rxsql.', @direction, N'put_', @job_key);
    -- Another task's first page may be on its way.
    EXEC sp_getapplock @Resource = @lock, @LockMode = N'Exclusive';
    SET @batch = CONCAT(N'DROP TABLE IF EXISTS ', @name, N';');
    IF
        OBJECT_ID(@name, 'U') IS NOT NULL
        AND EXISTS (
            SELECT 1 FROM rx.frames WHERE job_key = @job_key AND direction = @direction AND body = N''
        )
        SET @batch = CONCAT(
            N'DELETE FROM ', @name, N' WHERE NOT EXISTS (
                SELECT 1 FROM rx.frames AS known
                WHERE known.job_key = @job_key AND known.direction = @direction
                    AND known.task = ', @name, N'.task AND known.page = ', @name, N'.page
            );'
        );
    EXEC sp_executesql
        @batch, N'@job_key BIGINT, @direction VARCHAR(8)', @job_key = @job_key, @direction = @direction;
END;
GO

-- Nobody else may create tables here, or drop them: these do it with their owner's rights, and so read no
-- table of their caller's. On a server that knows no EXECUTE AS OWNER (Babelfish), the caller must have the
-- rights.
IF OBJECT_ID('rx.open_input', 'P') IS NOT NULL DROP PROCEDURE rx.open_input;
IF OBJECT_ID('rx.close_input', 'P') IS NOT NULL DROP PROCEDURE rx.close_input;
IF OBJECT_ID('rx.drop_table', 'P') IS NOT NULL DROP PROCEDURE rx.drop_table;
IF OBJECT_ID('rx.add_output', 'P') IS NOT NULL DROP PROCEDURE rx.add_output;
IF OBJECT_ID('rx.select_output_table', 'P') IS NOT NULL DROP PROCEDURE rx.select_output_table;
DECLARE @rights NVARCHAR(40) = N'WITH EXECUTE AS OWNER', @batch NVARCHAR(800);
IF CONVERT(NVARCHAR(128), SERVERPROPERTY('BabelfishVersion')) <> N'' SET @rights = N'';
SET @batch = CONCAT(
    N'CREATE PROCEDURE rx.open_input @job_key BIGINT, @header NVARCHAR(MAX) ', @rights, N' AS
    BEGIN
        EXEC rx.make_table @job_key, ''in'', @header;
        EXEC rx.allow_input @job_key, 1;
    END;'
);
EXEC sp_executesql @batch;
SET @batch = CONCAT(
    N'CREATE PROCEDURE rx.close_input @job_key BIGINT ', @rights, N' AS EXEC rx.allow_input @job_key, 0;'
);
EXEC sp_executesql @batch;
SET @batch = CONCAT(
    N'CREATE PROCEDURE rx.drop_table @job_key BIGINT, @direction VARCHAR(8) ', @rights,
    N' AS EXEC rx.trim_table @job_key, @direction;'
);
EXEC sp_executesql @batch;
SET @batch = CONCAT(
    N'CREATE PROCEDURE rx.add_output @job_key BIGINT, @task INT, @page INT, @row_count INT,
        @header NVARCHAR(MAX), @body NVARCHAR(MAX) ', @rights,
    N' AS EXEC rx.put_output @job_key, @task, @page, @row_count, @header, @body;'
);
EXEC sp_executesql @batch;
SET @batch = CONCAT(
    N'CREATE PROCEDURE rx.select_output_table @job_key BIGINT ', @rights,
    N' AS EXEC rx.select_output @job_key;'
);
EXEC sp_executesql @batch;
GO

IF OBJECT_ID('rx.drop_tables', 'TR') IS NOT NULL DROP TRIGGER rx.drop_tables;
GO

-- Whatever removes a job's pages removes their rows with them, in the same transaction.
CREATE TRIGGER rx.drop_tables ON rx.frames AFTER DELETE AS
BEGIN
    DECLARE @job_key BIGINT, @direction VARCHAR(8) = 'in';
    WHILE @direction IS NOT NULL
        BEGIN
            SET @job_key = (
                SELECT MIN(job_key) FROM deleted WHERE direction = @direction AND body = N''
            );
            WHILE @job_key IS NOT NULL
                BEGIN
                    EXEC rx.drop_table @job_key, @direction;
                    SET @job_key = (
                        SELECT MIN(job_key) FROM deleted
                        WHERE direction = @direction AND body = N'' AND job_key > @job_key
                    );
                END;
            SET @direction = CASE @direction WHEN 'in' THEN 'out' END;
        END;
END;
GO

IF OBJECT_ID('rx.read_table', 'P') IS NOT NULL DROP PROCEDURE rx.read_table;
GO

-- Read rows of such a table, from one page to another: for workers, who may read all tables of this schema.
-- Returns: task, page, and the columns, as a driver reads them without loss; no rows where the table is gone.
CREATE PROCEDURE rx.read_table
    @job_key BIGINT,
    @direction VARCHAR(8),
    @first_task INT,
    @first_page INT,
    @last_task INT,
    @last_page INT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @name NVARCHAR(40) = CONCAT(N'rx.', @direction, N'put_', @job_key);
    DECLARE @cells NVARCHAR(MAX), @batch NVARCHAR(MAX);
    IF OBJECT_ID(@name, 'U') IS NULL
        BEGIN
            SELECT TOP (0)
                task,
                page
            FROM rx.frames;
            RETURN;
        END;
    SET @cells = (
        SELECT
            STRING_AGG(
                CONVERT(NVARCHAR(MAX), REPLACE(known.fetched, N'{0}', CONCAT(N'given.c', known.place))), N', '
            ) WITHIN GROUP (ORDER BY known.place)
        FROM (
            SELECT TOP (1) header FROM rx.frames
            WHERE job_key = @job_key AND direction = @direction AND body = N''
            ORDER BY task, page
        ) AS first_page
        CROSS APPLY rx.columns_of(first_page.header) AS known
    );
    -- A row of a result ends with its number, as it does in a page.
    SET @batch = CONCAT(
        N'SELECT given.task, given.page, ', @cells, CASE @direction WHEN 'out' THEN N', given.place' END, N'
        FROM ', @name, N' AS given
        WHERE ',
        -- Most often pages of one task: these are found by the table's key, however many it has.
        CASE
            WHEN @first_task = @last_task
                THEN N'given.task = @first_task AND given.page BETWEEN @first_page AND @last_page'
            ELSE
                N'given.task BETWEEN @first_task AND @last_task
                AND (given.task > @first_task OR given.page >= @first_page)
                AND (given.task < @last_task OR given.page <= @last_page)'
        END,
        N'
        ORDER BY given.task, given.page, given.place;'
    );
    EXEC sp_executesql
        @batch,
        N'@first_task INT, @first_page INT, @last_task INT, @last_page INT',
        @first_task = @first_task,
        @first_page = @first_page,
        @last_task = @last_task,
        @last_page = @last_page;
END;
GO
