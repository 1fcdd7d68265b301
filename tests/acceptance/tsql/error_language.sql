-- Another language is refused.
-- error: 51006 @language must be N'Python'
EXEC rx.sp_execute_external_script @language = N'R', @script = N'x <- 1';
