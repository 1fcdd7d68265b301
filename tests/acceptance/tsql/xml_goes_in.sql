-- XML is text in the script.
-- columns: x str
-- rows: [('<a>1</a>',)]
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'OutputDataSet = InputDataSet',
    @input_data_1 = N'SELECT CAST(N''<a>1</a>'' AS XML) AS x';
