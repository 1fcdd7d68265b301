-- Percent signs in an error's text are those of the script.
-- error: 51003 100% of %s and %d
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'raise ValueError("100% of %s and %d")';
