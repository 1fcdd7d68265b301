-- A parameter that the procedure does not have is named.
-- error: @wrong
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'', @wrong = 1;
