-- Cancel an open job and remove what it stored; nothing happens to one that has ended.
-- Returns: @canceled.

IF OBJECT_ID('rx.drop_stored', 'P') IS NOT NULL DROP PROCEDURE rx.drop_stored;
GO

CREATE PROCEDURE rx.drop_stored
    @job_key BIGINT
AS
BEGIN
    SET NOCOUNT ON;
    DELETE FROM rx.results WHERE job_key = @job_key;
    DELETE FROM rx.console_chunks WHERE job_key = @job_key;
    DELETE FROM rx.crash_rows WHERE job_key = @job_key;
    DELETE FROM rx.inputs WHERE job_key = @job_key;
    DELETE FROM rx.frames WHERE job_key = @job_key;
    DELETE FROM rx.scripts WHERE job_key = @job_key;
    DELETE FROM rx.waiters WHERE job_key = @job_key;
END;
GO

IF OBJECT_ID('rx.cancel_job', 'P') IS NOT NULL DROP PROCEDURE rx.cancel_job;
GO

CREATE PROCEDURE rx.cancel_job
    @job_id NVARCHAR(128),
    @canceled BIT = NULL OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    DECLARE @job_key BIGINT = rx.own_job(@job_id), @problem NVARCHAR(400), @status VARCHAR(16);
    IF @job_key IS NULL
        BEGIN
            SET @problem = CONCAT(N'There is no job "', @job_id, N'", or it is another user''s.');
            EXEC rx.fail 51002, @problem;
        END;
    SET @canceled = 0;
    BEGIN TRANSACTION;
    SET @status = (SELECT status FROM rx.jobs WITH (UPDLOCK, ROWLOCK) WHERE job_key = @job_key);
    IF @status IN ('queued', 'running')
        BEGIN
            UPDATE rx.jobs
            SET
                status = 'canceled',
                done_runs = (
                    SELECT COALESCE(SUM(tasks.run_count), 0) FROM rx.task_rows AS tasks
                    WHERE tasks.job_key = @job_key AND tasks.status IN ('finished', 'failed')
                ),
                failed_runs = (
                    SELECT COALESCE(SUM(tasks.failed_runs), 0) FROM rx.task_rows AS tasks
                    WHERE tasks.job_key = @job_key AND tasks.status = 'failed'
                ),
                finished_at = SYSUTCDATETIME()
            WHERE job_key = @job_key;
            UPDATE rx.task_rows
            SET status = 'canceled', finished_at = SYSUTCDATETIME()
            WHERE job_key = @job_key AND status IN ('queued', 'running');
            DELETE FROM rx.slots WHERE job_key = @job_key;
            EXEC rx.drop_stored @job_key;
            SET @canceled = 1;
        END;
    COMMIT;
END;
GO

IF OBJECT_ID('rx.cleanup_job', 'P') IS NOT NULL DROP PROCEDURE rx.cleanup_job;
GO

-- Remove a job's tasks, tables, results and console lines, after canceling it where it is open; its row
-- stays.
CREATE PROCEDURE rx.cleanup_job
    @job_id NVARCHAR(128)
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    DECLARE @job_key BIGINT = rx.own_job(@job_id);
    EXEC rx.cancel_job @job_id;
    BEGIN TRANSACTION;
    EXEC rx.drop_stored @job_key;
    DELETE FROM rx.task_rows WHERE job_key = @job_key;
    UPDATE rx.jobs SET purged_at = SYSUTCDATETIME() WHERE job_key = @job_key AND purged_at IS NULL;
    COMMIT;
END;
GO
