-- A value by place beyond the declared ones is named.
-- error: 51006 @value_2 was given, and @params declares 1 parameters
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'', @params = N'@x INT', @value_2 = 1;
