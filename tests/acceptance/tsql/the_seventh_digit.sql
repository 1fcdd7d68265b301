-- datetime2, time and datetimeoffset keep their seventh digit and their offset.
-- skip on Babelfish: has six digits of a second
-- columns: moment str, clock str, zoned str
-- rows: [('2020-01-02 03:04:05.1234567', '03:04:05.1234567', '2020-01-02 03:04:05.1234567 +05:30')]
DECLARE @job_id NVARCHAR(128);
CREATE TABLE #found (moment DATETIME2(7), clock TIME(7), zoned DATETIMEOFFSET(7));
EXEC rx.submit_script
    @script = N'OutputDataSet = InputDataSet',
    @input_data_1 = N'SELECT CAST(''2020-01-02 03:04:05.1234567'' AS DATETIME2(7)) AS moment,
        CAST(''03:04:05.1234567'' AS TIME(7)) AS clock,
        CAST(''2020-01-02 03:04:05.1234567 +05:30'' AS DATETIMEOFFSET(7)) AS zoned',
    @job_id = @job_id OUTPUT;
EXEC rx.wait_for_job @job_id;
INSERT INTO #found EXEC rx.fetch_result @job_id;
SELECT CONVERT(NVARCHAR(40), moment, 121), CONVERT(NVARCHAR(40), clock, 121), CONVERT(NVARCHAR(40), zoned, 121)
FROM #found;
