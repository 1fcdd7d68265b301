-- Store inputs that are too large for their task's row, or that all runs share.
-- Takes: a row's values, once a row; many rows are sent as one VALUES.
INSERT INTO rx.inputs (job_key, task, body)
VALUES
(:job_key, :task, CAST(:body AS VARBINARY(MAX)));
