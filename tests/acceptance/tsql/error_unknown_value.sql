-- A value for what is not declared is named.
-- error: 51006 @param_values names "y"
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'', @params = N'@x INT', @param_values = N'{"y": 1}';
