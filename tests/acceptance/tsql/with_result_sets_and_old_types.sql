-- Rows of a temporary table's query come back under WITH RESULT SETS, as whatever their values can be converted to.
-- skip on Babelfish: ignores WITH RESULT SETS
-- columns: day datetime, words str
-- rows: [(datetime(2020, 2, 29, 1, 2, 3), 'ü')]
CREATE TABLE #mine (day DATETIME2(7) NOT NULL, words NVARCHAR(MAX) NOT NULL);
INSERT INTO #mine (day, words) VALUES ('2020-02-29T01:02:03.0000000', N'ü');
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'OutputDataSet = InputDataSet',
    @input_data_1 = N'SELECT day, words FROM #mine'
WITH RESULT SETS ((day DATETIME NOT NULL, words NVARCHAR(10) NOT NULL));
