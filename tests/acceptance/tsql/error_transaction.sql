-- In a transaction the waiting form fails at once, and says what to do.
-- error: 51001 rx.submit_script, COMMIT, EXEC rx.wait_for_job
BEGIN TRANSACTION;
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'';
