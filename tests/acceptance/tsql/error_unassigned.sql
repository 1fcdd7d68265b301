-- An OUTPUT parameter that the script does not assign is named.
-- error: 51003 did not assign its OUTPUT parameter 'x'
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'', @params = N'@x INT OUTPUT';
