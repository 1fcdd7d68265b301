-- A query without rows is a table with columns and no rows, in and out.
-- columns: a int, b str
-- rows: []
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'
assert list(InputDataSet.columns) == ["a", "b"]
OutputDataSet = InputDataSet.astype({"a": "int32"})',
    @input_data_1 = N'SELECT 1 AS a, N''x'' AS b WHERE 1 = 0';
