-- The query is run by the caller: it sees the caller's temporary tables.
-- skip on Babelfish: does not tell the columns of temporary tables
-- columns: x int
-- rows: [(5,)]
CREATE TABLE #mine (x INT NOT NULL);
INSERT INTO #mine (x) VALUES (5);
EXEC rx.sp_execute_external_script
    @language = N'Python', @script = N'OutputDataSet = InputDataSet', @input_data_1 = N'SELECT x FROM #mine';
