-- An input query that fails is the caller's error, at once.
-- error: vanished
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'', @input_data_1 = N'SELECT * FROM vanished';
