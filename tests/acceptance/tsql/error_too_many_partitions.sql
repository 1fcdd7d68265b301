-- More partitions than a million are refused.
-- error: 51006 The job has more than 1,000,000 partitions
DECLARE @job_key BIGINT, @job_id NVARCHAR(128);
EXEC rx.add_job
    @name = N'script', @kind = 'script', @python = '', @function_hash = '', @tasks = 1000001, @num_tasks = 1,
    @job_key = @job_key OUTPUT, @job_id = @job_id OUTPUT;
