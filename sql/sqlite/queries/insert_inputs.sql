-- Store inputs that are too large for their task's row, or that all runs share.
-- Takes: a row's values, once a row.
INSERT INTO inputs (job_key, task, body)
VALUES (:job_key, :task, :body);
