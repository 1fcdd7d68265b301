-- The script sees the query's rows and its parameter; its rows come back with names and types, its prints as messages.
-- columns: x int, y float, label str
-- rows: [(1, 2.5, 'ü😀'), (2, 5.0, None)]
-- messages: ['seen 2', 'done']
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'
print("seen", len(InputDataSet))
OutputDataSet = InputDataSet.assign(y=InputDataSet.x * k)[["x", "y", "label"]]
print("done")
',
    @input_data_1 = N'SELECT x, label FROM (VALUES (1, N''ü😀''), (2, NULL)) AS given(x, label) ORDER BY x;',
    @params = N'@k FLOAT',
    @value_1 = 2.5E0;
