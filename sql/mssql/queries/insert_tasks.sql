-- Put a job's tasks in the queue.
-- Takes: rows, bytes: a JSON object a row, whose binary values are places in the bytes.
DECLARE @bytes VARBINARY(MAX) = :bytes;
INSERT INTO rx.task_rows (job_key, task, first_run, run_count, input)
SELECT
    entry.job_key,
    entry.task,
    entry.first_run,
    entry.run_count,
    SUBSTRING(@bytes, entry.input_start, entry.input_length) AS input
FROM OPENJSON (:rows) WITH (
    job_key BIGINT '$.job_key',
    task INT '$.task',
    first_run INT '$.first_run',
    run_count INT '$.run_count',
    input_start INT '$.input[0]',
    input_length INT '$.input[1]'
) AS entry;
