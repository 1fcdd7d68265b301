-- Submit a job that plain SQL describes, with its tasks; the other procedures call it, inside a transaction.
-- Returns: @job_key and @job_id.

IF OBJECT_ID('rx.add_job', 'P') IS NOT NULL DROP PROCEDURE rx.add_job;
GO

CREATE PROCEDURE rx.add_job
    @name NVARCHAR(256),
    @kind VARCHAR(16),
    @python VARCHAR(8),
    @function_hash VARCHAR(64),
    @tasks INT,
    @num_tasks INT,
    @job_key BIGINT OUTPUT,
    @job_id NVARCHAR(128) OUTPUT,
    @signature VARCHAR(160) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @problem NVARCHAR(400), @made INT = 1;
    IF @tasks > 1000000
        THROW 51006, N'The job has more than 1,000,000 partitions. Partition the input by fewer columns.', 1;
    IF @job_id IS NULL
        SET @job_id = CONCAT(
            REPLACE(
                REPLACE(REPLACE(CONVERT(NVARCHAR(19), SYSUTCDATETIME(), 120), '-', ''), ':', ''), ' ', '-'
            ),
            N'-',
            LOWER(LEFT(CONVERT(NVARCHAR(36), NEWID()), 8))
        );
    IF @job_id = N'' OR @job_id LIKE N'%[^A-Za-z0-9_.:-]%'
        BEGIN
            SET
                @problem
                = CONCAT(N'The job id "', @job_id, N'" is not up to 128 letters, digits and . _ : -');
            EXEC rx.fail 51006, @problem;
        END;
    IF EXISTS (SELECT 1 FROM rx.jobs WHERE job_id = @job_id)
        BEGIN
            SET @problem = CONCAT(
                N'A job "',
                @job_id,
                N'" is there already. Choose another @job_id, or EXEC rx.cleanup_job first.'
            );
            EXEC rx.fail 51006, @problem;
        END;
    INSERT INTO rx.jobs (
        job_id, name, kind, run_count, num_tasks, max_attempts, continue_on_failure, has_inputs,
        packages_to_load, execution_timeout_seconds, auto_cleanup, console_output, context, python,
        function_hash, submitted_by, signature
    )
    VALUES (
        @job_id, @name, @kind, @tasks, @num_tasks, 3, 0, CASE WHEN @kind = 'script' THEN 1 ELSE 0 END,
        N'[]', 0, 0, 0,
        CONCAT(
            N'{"connection_string": "sql", "num_tasks": ', @num_tasks,
            N', "execution_timeout_seconds": 0, "wait": false, "console_output": false, ',
            N'"auto_cleanup": false, "packages_to_load": [], "description": "sqlserver", "version": "1.0"}'
        ),
        @python, @function_hash, SUSER_SNAME(), @signature
    );
    SET @job_key = (SELECT job_key FROM rx.jobs WHERE job_id = @job_id);
    INSERT INTO rx.task_rows (job_key, task, first_run, run_count) VALUES (@job_key, 0, 0, 1);
    -- The rows that are there once more, with the numbers that follow, until all are.
    WHILE @made < @tasks
        BEGIN
            INSERT INTO rx.task_rows (job_key, task, first_run, run_count)
            SELECT
                @job_key AS job_key,
                task + @made AS task,
                task + @made AS first_run,
                1 AS run_count
            FROM rx.task_rows
            WHERE job_key = @job_key AND task < @tasks - @made;
            SET @made = @made * 2;
        END;
END;
GO

-- The key of a job that the caller may touch: its own, or any job for members of rx_client; NULL of another.

IF OBJECT_ID('rx.own_job', 'FN') IS NOT NULL DROP FUNCTION rx.own_job;
GO

CREATE FUNCTION rx.own_job(@job_id NVARCHAR(128)) RETURNS BIGINT
AS
BEGIN
    RETURN (
        SELECT job_key
        FROM rx.jobs
        WHERE
            job_id = @job_id
            AND (
                submitted_by = SUSER_SNAME()
                OR IS_ROLEMEMBER('rx_client') = 1
                OR IS_ROLEMEMBER('db_owner') = 1
                OR USER_NAME() = 'dbo'
            )
    );
END;
GO
