-- Call a published function with JSON arguments, wait for it, and give its result as rows.

IF OBJECT_ID('rx.run_function', 'P') IS NOT NULL DROP PROCEDURE rx.run_function;
GO

CREATE PROCEDURE rx.run_function
    @name NVARCHAR(128),
    @args_json NVARCHAR(MAX) = N'{}'
AS
BEGIN
    DECLARE @trancount INT = @@TRANCOUNT;
    SET NOCOUNT ON;
    EXEC rx.refuse_transaction N'rx.run_function', N'rx.submit_function', @trancount;
    SET IMPLICIT_TRANSACTIONS OFF;
    DECLARE @job_id NVARCHAR(128);
    EXEC rx.submit_function @name = @name, @args_json = @args_json, @job_id = @job_id OUTPUT, @is_waiting = 1;
    EXEC rx.wait_for_job @job_id;
    EXEC rx.fetch_result @job_id;
    EXEC rx.cleanup_job @job_id;
END;
GO
