-- Store a script as a job, with its pages: #rx_script, #rx_params and #rx_pages, tables of the procedure that
-- submits, say which. Callers of that one may call this one, too: it does no more for them.
-- Returns: job_id and job_key in #rx_script.

IF OBJECT_ID('rx.store_script', 'P') IS NOT NULL DROP PROCEDURE rx.store_script;
GO

CREATE PROCEDURE rx.store_script
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    DECLARE @job_id NVARCHAR(128), @job_key BIGINT, @num_tasks INT, @is_waiting BIT, @header NVARCHAR(MAX);
    DECLARE @tasks INT = (SELECT MAX(task) + 1 FROM #rx_pages);
    SELECT
        @job_id = job_id,
        @num_tasks = num_tasks,
        @is_waiting = is_waiting,
        @header = header
    FROM #rx_script;
    BEGIN TRANSACTION;
    EXEC rx.add_job
        @name = N'script', @kind = 'script', @python = '', @function_hash = '', @tasks = @tasks,
        @num_tasks = @num_tasks, @job_key = @job_key OUTPUT, @job_id = @job_id OUTPUT;
    INSERT INTO rx.scripts (job_key, language, script, input_name, output_name, params)
    SELECT
        @job_key AS job_key,
        language,
        script,
        input_name,
        output_name,
        COALESCE(
            (
                SELECT
                    given.name,
                    given.declaration AS type,
                    given.is_output AS output,
                    given.cell AS value
                FROM #rx_params AS given
                ORDER BY given.ordinal
                FOR JSON PATH, INCLUDE_NULL_VALUES
            ), N'[]'
        ) AS params
    FROM #rx_script;
    INSERT INTO rx.frames (job_key, direction, task, page, row_count, header, body)
    SELECT
        @job_key AS job_key,
        'in' AS direction,
        task,
        page,
        row_count,
        @header AS header,
        body
    FROM #rx_pages;
    IF EXISTS (SELECT 1 FROM #rx_pages WHERE body = N'') EXEC rx.add_input_table @job_key, @header;
    IF @is_waiting = 1
        INSERT INTO rx.waiters (job_key) VALUES (@job_key);
    COMMIT;
    UPDATE #rx_script
    SET
        job_id = @job_id,
        job_key = @job_key;
END;
GO
