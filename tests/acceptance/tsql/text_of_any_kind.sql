-- Quotes, backslashes, line ends and long text pass unchanged.
-- skip on Babelfish: leaves JSON's escapes in text, and cuts it after 4,000 characters
-- columns: same int, long int
-- rows: [(1, 10000)]
DECLARE @job_id NVARCHAR(128);
CREATE TABLE #found (a NVARCHAR(MAX), b NVARCHAR(MAX));
EXEC rx.submit_script
    @script = N'OutputDataSet = InputDataSet',
    @input_data_1 = N'SELECT N''"\'' + NCHAR(10) + N''/'' AS a, REPLICATE(CAST(N''x'' AS NVARCHAR(MAX)), 10000) AS b',
    @job_id = @job_id OUTPUT;
EXEC rx.wait_for_job @job_id;
INSERT INTO #found EXEC rx.fetch_result @job_id;
SELECT CASE WHEN a = N'"\' + NCHAR(10) + N'/' THEN 1 ELSE 0 END, LEN(b) FROM #found;
