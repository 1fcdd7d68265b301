-- fetch_result is usable in INSERT ... EXEC.
-- skip on Babelfish: has no INSERT ... EXEC of a procedure that calls others
-- columns: a int
-- rows: [(1,)]
DECLARE @job_id NVARCHAR(128);
CREATE TABLE #found (a INT NULL);
EXEC rx.submit_script
    @script = N'OutputDataSet = InputDataSet', @input_data_1 = N'SELECT 1 AS a', @job_id = @job_id OUTPUT;
EXEC rx.wait_for_job @job_id;
INSERT INTO #found (a) EXEC rx.fetch_result @job_id;
SELECT a FROM #found;
