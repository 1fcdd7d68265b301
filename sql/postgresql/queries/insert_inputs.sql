-- Store inputs that are too large for their task's row, or that all runs share.
-- Takes: an array a column.
INSERT INTO rx.inputs (job_key, task, body)
SELECT
    entry.job_key,
    entry.task,
    entry.body
FROM UNNEST(
    CAST(:job_key AS BIGINT[]),
    CAST(:task AS INTEGER[]),
    CAST(:body AS BYTEA[])
) AS entry (job_key, task, body);
