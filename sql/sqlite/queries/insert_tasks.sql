-- Put a job's tasks in the queue.
-- Takes: a row's values, once a row.
INSERT INTO task_rows (job_key, task, first_run, run_count, input)
VALUES (:job_key, :task, :first_run, :run_count, :input);
