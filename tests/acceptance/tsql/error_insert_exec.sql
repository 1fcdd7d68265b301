-- In INSERT ... EXEC the waiting form fails at once, and says what to do.
-- error: 51001 INSERT ... EXEC, which opens one
CREATE TABLE #refused (a INT);
INSERT INTO #refused EXEC rx.sp_execute_external_script @language = N'Python', @script = N'';
