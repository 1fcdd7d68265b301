-- An OUTPUT parameter of another type than declared is named.
-- error: 51003 The OUTPUT parameter 'x' is no INT
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'x = "many"', @params = N'@x INT OUTPUT';
