-- A script that does not parse is named with its line.
-- error: 51003 The script does not parse: SyntaxError: '(' was never closed in line 1
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'x = (';
