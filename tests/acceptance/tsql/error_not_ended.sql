-- A result that is not there yet is asked for in vain, and the error says to wait.
-- error: 51004 it has no result yet. Wait for it
DECLARE @job_id NVARCHAR(128);
EXEC rx.submit_script @script = N'import time; time.sleep(600)', @job_id = @job_id OUTPUT;
EXEC rx.fetch_result @job_id;
