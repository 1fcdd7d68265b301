-- What is no DataFrame is named with its type.
-- error: 51003 OutputDataSet must be a pandas DataFrame, and is of the type int
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'OutputDataSet = 1';
