-- Input and output stand under the names that the call gives them.
-- columns: a int
-- rows: [(7,)]
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'rows_out = rows_in',
    @input_data_1 = N'SELECT 7 AS a',
    @input_data_1_name = N'rows_in',
    @output_data_1_name = N'rows_out',
    @parallel = 1,
    @r_rowsPerRead = 500;
