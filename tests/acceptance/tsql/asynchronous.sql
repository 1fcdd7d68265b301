-- A script is submitted, waited for, fetched and removed by calls of their own.
-- columns: status str
-- columns: a int
-- columns: gone int
-- rows: [('finished',)]
-- rows: [(1,)]
-- rows: [(1,)]
DECLARE @job_id NVARCHAR(128) = N'by-hand', @status VARCHAR(16);
EXEC rx.submit_script
    @script = N'OutputDataSet = InputDataSet', @input_data_1 = N'SELECT 1 AS a', @job_id = @job_id OUTPUT;
EXEC rx.wait_for_job @job_id, @status = @status OUTPUT;
SELECT @status AS status;
EXEC rx.fetch_result @job_id;
EXEC rx.cleanup_job @job_id;
SELECT COUNT(*) AS gone FROM rx.jobs WHERE job_id = @job_id AND purged_at IS NOT NULL;
