-- VARBINARY is bytes in the script.
-- skip on Babelfish: writes no bytes as hexadecimal text
-- columns: n int, b bytes
-- rows: [(2, b'\x00\xff')]
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'OutputDataSet = InputDataSet.assign(n=len(InputDataSet.b[0]))[["n", "b"]]',
    @input_data_1 = N'SELECT CAST(0x00FF AS VARBINARY(10)) AS b';
