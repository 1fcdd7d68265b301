-- A job may have a million partitions: its tasks are numbered from 0, and each is one run.
-- columns: tasks int, last int, runs int
-- rows: [(12345, 12344, 12345)]
DECLARE @job_key BIGINT, @job_id NVARCHAR(128);
BEGIN TRANSACTION;
EXEC rx.add_job
    @name = N'script', @kind = 'script', @python = '', @function_hash = '', @tasks = 12345, @num_tasks = 1,
    @job_key = @job_key OUTPUT, @job_id = @job_id OUTPUT;
SELECT
    COUNT(*) AS tasks,
    MAX(task) AS last,
    SUM(CASE WHEN first_run = task AND run_count = 1 THEN 1 ELSE 0 END) AS runs
FROM rx.task_rows
WHERE job_key = @job_key;
ROLLBACK;
