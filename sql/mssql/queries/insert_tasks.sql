-- Put a job's tasks in the queue.
-- Takes: a row's values, once a row; many rows are sent as one VALUES.
INSERT INTO rx.task_rows (job_key, task, first_run, run_count, input)
VALUES
(:job_key, :task, :first_run, :run_count, CAST(:input AS VARBINARY(MAX)));
