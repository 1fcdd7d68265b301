-- Put a job's tasks in the queue.
-- Takes: an array a column.
INSERT INTO rx.task_rows (job_key, task, first_run, run_count, input)
SELECT
    entry.job_key,
    entry.task,
    entry.first_run,
    entry.run_count,
    entry.input
FROM UNNEST(
    CAST(:job_key AS BIGINT[]),
    CAST(:task AS INTEGER[]),
    CAST(:first_run AS INTEGER[]),
    CAST(:run_count AS INTEGER[]),
    CAST(:input AS BYTEA[])
) AS entry (job_key, task, first_run, run_count, input);
