-- Wait for a job, showing what it prints as messages while it runs. In a transaction, and in INSERT ...
-- EXEC, which is one, this fails at once: what a transaction submits is seen by no worker before its end.
-- Returns: @status.

IF OBJECT_ID('rx.pause', 'P') IS NOT NULL DROP PROCEDURE rx.pause;
GO

-- The only statement that lets time pass.
CREATE PROCEDURE rx.pause
    @milliseconds INT
AS
BEGIN
    DECLARE @until NVARCHAR(12) = CONVERT(NVARCHAR(12), DATEADD(MILLISECOND, @milliseconds, 0), 114);
    EXEC sp_executesql N'WAITFOR DELAY @until', N'@until NVARCHAR(12)', @until = @until;
END;
GO

IF OBJECT_ID('rx.refuse_transaction', 'P') IS NOT NULL DROP PROCEDURE rx.refuse_transaction;
GO

CREATE PROCEDURE rx.refuse_transaction
    @procedure NVARCHAR(128),
    @instead NVARCHAR(128),
    @trancount INT
AS
BEGIN
    DECLARE @problem NVARCHAR(1000) = CONCAT(
        @procedure,
        N' was called in an open transaction, or in INSERT ... EXEC, which opens one: no worker would see ',
        N'the job before the transaction ends, and the call would wait for ever. End the transaction first ',
        N'(from Python: autocommit=True), or EXEC ',
        @instead,
        N', COMMIT, EXEC rx.wait_for_job, and then INSERT ... EXEC ',
        N'rx.fetch_result.'
    );
    IF @trancount > 0 EXEC rx.fail 51001, @problem;
END;
GO

IF OBJECT_ID('rx.look_at_job', 'P') IS NOT NULL DROP PROCEDURE rx.look_at_job;
GO

-- One look: tell the worker that the caller is there, show new console lines, and say where the job stands.
CREATE PROCEDURE rx.look_at_job
    @job_id NVARCHAR(128),
    @after BIGINT OUTPUT,
    @status VARCHAR(16) OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @job_key BIGINT = rx.own_job(@job_id), @chunk BIGINT, @place INT, @text NVARCHAR(MAX);
    DECLARE @problem NVARCHAR(400), @part NVARCHAR(2000);
    IF @job_key IS NULL
        BEGIN
            SET @problem = CONCAT(N'There is no job "', @job_id, N'", or it is another user''s.');
            EXEC rx.fail 51002, @problem;
        END;
    -- First the status, then the lines: those of a job that has ended are all there.
    SET @status = (SELECT status FROM rx.jobs WHERE job_key = @job_key);
    UPDATE rx.waiters SET seen_at = SYSUTCDATETIME() WHERE job_key = @job_key;
    CREATE TABLE #rx_lines (chunk_key BIGINT NOT NULL, place INT NOT NULL, text NVARCHAR(MAX) NULL);
    INSERT INTO #rx_lines (chunk_key, place, text)
    SELECT
        chunks.chunk_key,
        CONVERT(INT, line.[key]) AS place,
        line.value
    FROM rx.console_chunks AS chunks
    CROSS APPLY OPENJSON(chunks.lines) AS line
    WHERE chunks.job_key = @job_key AND chunks.chunk_key > ISNULL(@after, 0);
    DECLARE lines CURSOR LOCAL FAST_FORWARD FOR
    SELECT
        chunk_key,
        text
    FROM #rx_lines
    ORDER BY chunk_key, place;
    OPEN lines;
    FETCH NEXT FROM lines INTO @chunk, @text;
    WHILE @@FETCH_STATUS = 0
        BEGIN
            SET @after = @chunk;
            SET @part = LEFT(@text, 2000);
            RAISERROR (N'%s', 0, 1, @part) WITH NOWAIT;
            SET @text = SUBSTRING(@text, 2001, LEN(@text));
            IF @text = N'' FETCH NEXT FROM lines INTO @chunk, @text;
        END;
    CLOSE lines;
    DEALLOCATE lines;
END;
GO

IF OBJECT_ID('rx.wait_for_job', 'P') IS NOT NULL DROP PROCEDURE rx.wait_for_job;
GO

CREATE PROCEDURE rx.wait_for_job
    @job_id NVARCHAR(128),
    @timeout_seconds INT = NULL,
    @status VARCHAR(16) = NULL OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @trancount INT = @@TRANCOUNT, @after BIGINT = 0, @milliseconds INT = 20;
    DECLARE @until DATETIME2(3) = DATEADD(SECOND, @timeout_seconds, SYSUTCDATETIME());
    EXEC rx.refuse_transaction N'rx.wait_for_job', N'rx.submit_script', @trancount;
    SET IMPLICIT_TRANSACTIONS OFF;
    EXEC rx.look_at_job @job_id, @after OUTPUT, @status OUTPUT;
    WHILE @status IN ('queued', 'running') AND (@until IS NULL OR SYSUTCDATETIME() < @until)
        BEGIN
            EXEC rx.pause @milliseconds;
            SET @milliseconds = CASE WHEN @milliseconds < 500 THEN @milliseconds * 2 ELSE 1000 END;
            EXEC rx.look_at_job @job_id, @after OUTPUT, @status OUTPUT;
        END;
END;
GO
