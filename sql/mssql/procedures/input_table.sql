-- Inputs of more than one page stand in a table of their own, rx.input_<job_key>: task, page and place of a
-- row, and its columns with their types. Their pages in rx.frames have a header and a number of rows, and
-- no body.

IF OBJECT_ID('rx.make_input_table', 'P') IS NOT NULL DROP PROCEDURE rx.make_input_table;
GO

-- Make the table for the columns of a header. Nobody else sees it before the transaction ends, so that all
-- may write into it until then.
CREATE PROCEDURE rx.make_input_table
    @job_key BIGINT,
    @header NVARCHAR(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @name NVARCHAR(40) = CONCAT(N'input_', @job_key), @columns NVARCHAR(MAX), @batch NVARCHAR(MAX);
    SET @columns = (
        SELECT
            STRING_AGG(
                CONCAT(
                    CONVERT(NVARCHAR(MAX), N', c'), CONVERT(INT, entry.[key]), N' ', types.sql_type, N' NULL'
                ),
                N''
            ) WITHIN GROUP (ORDER BY CONVERT(INT, entry.[key]))
        FROM OPENJSON(@header) AS entry
        CROSS APPLY
            OPENJSON (CONCAT(N'[', entry.value, N']')) WITH (
                type_name NVARCHAR(128) '$[1]', size INT '$[2]', scale INT '$[3]'
            ) AS part
        CROSS APPLY rx.type_of(part.type_name, part.size, part.scale) AS types
    );
    SET @batch = CONCAT(
        N'CREATE TABLE rx.', @name, N' (
            task INT NOT NULL, page INT NOT NULL, place INT NOT NULL, n INT NOT NULL', @columns, N',
            CONSTRAINT pk_', @name, N' PRIMARY KEY CLUSTERED (task, page, place)
        );
        GRANT INSERT ON rx.', @name, N' TO public;'
    );
    EXEC sp_executesql @batch;
END;
GO

IF OBJECT_ID('rx.seal_input_table', 'P') IS NOT NULL DROP PROCEDURE rx.seal_input_table;
GO

CREATE PROCEDURE rx.seal_input_table
    @job_key BIGINT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @batch NVARCHAR(400) = CONCAT(N'REVOKE INSERT ON rx.input_', @job_key, N' FROM public;');
    EXEC sp_executesql @batch;
END;
GO

IF OBJECT_ID('rx.remove_input_table', 'P') IS NOT NULL DROP PROCEDURE rx.remove_input_table;
GO

CREATE PROCEDURE rx.remove_input_table
    @job_key BIGINT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @batch NVARCHAR(400) = CONCAT(N'DROP TABLE IF EXISTS rx.input_', @job_key, N';');
    EXEC sp_executesql @batch;
END;
GO

-- Nobody else may create tables here, or drop them: these do it with their owner's rights, and so read no
-- table of their caller's. On a server that knows no EXECUTE AS OWNER (Babelfish), the caller must have the
-- rights.
IF OBJECT_ID('rx.open_input_table', 'P') IS NOT NULL DROP PROCEDURE rx.open_input_table;
IF OBJECT_ID('rx.close_input_table', 'P') IS NOT NULL DROP PROCEDURE rx.close_input_table;
IF OBJECT_ID('rx.drop_input_table', 'P') IS NOT NULL DROP PROCEDURE rx.drop_input_table;
DECLARE @rights NVARCHAR(40) = N'WITH EXECUTE AS OWNER', @batch NVARCHAR(400);
IF CONVERT(NVARCHAR(128), SERVERPROPERTY('BabelfishVersion')) <> N'' SET @rights = N'';
SET @batch = CONCAT(
    N'CREATE PROCEDURE rx.open_input_table @job_key BIGINT, @header NVARCHAR(MAX) ', @rights,
    N' AS EXEC rx.make_input_table @job_key, @header;'
);
EXEC sp_executesql @batch;
SET @batch = CONCAT(
    N'CREATE PROCEDURE rx.close_input_table @job_key BIGINT ', @rights,
    N' AS EXEC rx.seal_input_table @job_key;'
);
EXEC sp_executesql @batch;
SET @batch = CONCAT(
    N'CREATE PROCEDURE rx.drop_input_table @job_key BIGINT ', @rights,
    N' AS EXEC rx.remove_input_table @job_key;'
);
EXEC sp_executesql @batch;
GO

IF OBJECT_ID('rx.add_input_table', 'P') IS NOT NULL DROP PROCEDURE rx.add_input_table;
GO

-- Make a job's table of #rx_rows, in the order of #rx_numbered: tables of those that call this, in a
-- transaction. Its columns are n, of the first, and c0 and so on.
CREATE PROCEDURE rx.add_input_table
    @job_key BIGINT,
    @header NVARCHAR(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @batch NVARCHAR(400) = CONCAT(
        N'INSERT INTO rx.input_', @job_key, N'
        SELECT numbered.task, numbered.page, numbered.place, given.*
        FROM #rx_numbered AS numbered
        INNER JOIN #rx_rows AS given ON numbered.n = given.n
        ORDER BY numbered.task, numbered.page, numbered.place;'
    );
    EXEC rx.open_input_table @job_key, @header;
    EXEC sp_executesql @batch;
    EXEC rx.close_input_table @job_key;
END;
GO

IF OBJECT_ID('rx.drop_input_tables', 'TR') IS NOT NULL DROP TRIGGER rx.drop_input_tables;
GO

-- Whatever removes a job's pages removes its table with them, in the same transaction.
CREATE TRIGGER rx.drop_input_tables ON rx.frames AFTER DELETE AS
BEGIN
    DECLARE @job_key BIGINT = (SELECT MIN(job_key) FROM deleted WHERE direction = 'in' AND body = N'');
    WHILE @job_key IS NOT NULL
        BEGIN
            EXEC rx.drop_input_table @job_key;
            SET @job_key = (
                SELECT MIN(job_key) FROM deleted
                WHERE direction = 'in' AND body = N'' AND job_key > @job_key
            );
        END;
END;
GO

IF OBJECT_ID('rx.read_input', 'P') IS NOT NULL DROP PROCEDURE rx.read_input;
GO

-- Read rows of such a table, from one page to another: for workers, who may read all tables of this schema.
-- Returns: task, page, and the columns, as a driver reads them without loss; no rows where the table is gone.
CREATE PROCEDURE rx.read_input
    @job_key BIGINT,
    @first_task INT,
    @first_page INT,
    @last_task INT,
    @last_page INT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @name NVARCHAR(40) = CONCAT(N'rx.input_', @job_key), @cells NVARCHAR(MAX), @batch NVARCHAR(MAX);
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
                CONVERT(
                    NVARCHAR(MAX), REPLACE(types.fetched, N'{0}', CONCAT(N'given.c', entry.[key]))
                ),
                N', '
            ) WITHIN GROUP (ORDER BY CONVERT(INT, entry.[key]))
        FROM (
            SELECT TOP (1) header FROM rx.frames
            WHERE job_key = @job_key AND direction = 'in'
            ORDER BY task, page
        ) AS first_page
        CROSS APPLY OPENJSON(first_page.header) AS entry
        CROSS APPLY
            OPENJSON (CONCAT(N'[', entry.value, N']')) WITH (
                type_name NVARCHAR(128) '$[1]', size INT '$[2]', scale INT '$[3]'
            ) AS part
        CROSS APPLY rx.type_of(part.type_name, part.size, part.scale) AS types
    );
    SET @batch = CONCAT(
        N'SELECT given.task, given.page, ', @cells, N'
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
