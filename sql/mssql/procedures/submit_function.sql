-- Submit a call of a published function: its arguments are a JSON object. It needs no right but to execute
-- this.
-- Returns: @job_id.

IF OBJECT_ID('rx.submit_function', 'P') IS NOT NULL DROP PROCEDURE rx.submit_function;
GO

CREATE PROCEDURE rx.submit_function
    @name NVARCHAR(128),
    @args_json NVARCHAR(MAX) = N'{}',
    @job_id NVARCHAR(128) = NULL OUTPUT,
    @is_waiting BIT = 0
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    DECLARE @problem NVARCHAR(2000), @hash VARCHAR(64), @python VARCHAR(8), @job_key BIGINT;
    DECLARE @signature VARCHAR(160);
    SELECT
        @hash = function_hash,
        @signature = signature,
        @python = python
    FROM rx.published
    WHERE name = @name;
    IF @hash IS NULL
        SET @problem = CONCAT(
            N'Nothing is published as "',
            @name,
            N'". What is stands in rx.published; an administrator adds to it ',
            N'with: rxsql publish module:function'
        );
    ELSE IF ISNULL(ISJSON(@args_json), 0) = 0 OR LTRIM(@args_json) NOT LIKE N'{%'
        SET @problem = N'@args_json must be a JSON object with the arguments by name, such as N''{"k": 2}''.';
    IF @problem IS NOT NULL EXEC rx.fail 51006, @problem;
    BEGIN TRANSACTION;
    EXEC rx.add_job
        @name = @name,
        @kind = 'published',
        @python = @python,
        @function_hash = @hash,
        @signature = @signature,
        @tasks = 1,
        @num_tasks = 1,
        @job_key = @job_key OUTPUT, @job_id = @job_id OUTPUT;
    INSERT INTO rx.scripts (job_key, language, script, input_name, output_name, params)
    VALUES (@job_key, N'Python', NULL, N'InputDataSet', N'OutputDataSet', @args_json);
    IF @is_waiting = 1
        INSERT INTO rx.waiters (job_key) VALUES (@job_key);
    COMMIT;
END;
GO
