-- Inputs of more than one page: rx.input_<job_key>.

IF OBJECT_ID('rx.add_input_table', 'P') IS NOT NULL DROP PROCEDURE rx.add_input_table;
GO

-- Make a job's table of #rx_rows, in the order of #rx_numbered: tables of those that call this, in a
-- transaction.
CREATE PROCEDURE rx.add_input_table
    @job_key BIGINT,
    @header NVARCHAR(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @columns NVARCHAR(MAX), @batch NVARCHAR(MAX);
    SET @columns = (
        SELECT
            STRING_AGG(CONCAT(CONVERT(NVARCHAR(MAX), N'c'), [key]), N', ')
            WITHIN GROUP (ORDER BY CONVERT(INT, [key]))
        FROM OPENJSON(@header)
    );
    SET @batch = CONCAT(
        N'INSERT INTO rx.input_', @job_key, N' (task, page, place, ', @columns, N')
        SELECT numbered.task, numbered.page, numbered.place, ', @columns, N'
        FROM #rx_numbered AS numbered
        INNER JOIN #rx_rows AS given ON numbered.n = given.n
        ORDER BY numbered.task, numbered.page, numbered.place;'
    );
    EXEC rx.open_input @job_key, @header;
    EXEC sp_executesql @batch;
    EXEC rx.close_input @job_key;
END;
GO
