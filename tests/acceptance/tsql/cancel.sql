-- A script that runs is canceled.
-- columns: canceled bool, status str
-- rows: [(True, 'canceled')]
DECLARE @job_id NVARCHAR(128), @canceled BIT, @status VARCHAR(16);
EXEC rx.submit_script @script = N'import time; time.sleep(600)', @job_id = @job_id OUTPUT;
EXEC rx.cancel_job @job_id, @canceled OUTPUT;
EXEC rx.wait_for_job @job_id, @status = @status OUTPUT;
SELECT @canceled AS canceled, @status AS status;
