-- Store inputs that are too large for their task's row, or that all runs share.
-- Takes: rows, bytes: a JSON object a row, whose binary values are places in the bytes.
DECLARE @bytes VARBINARY(MAX) = :bytes;
INSERT INTO rx.inputs (job_key, task, body)
SELECT
    entry.job_key,
    entry.task,
    SUBSTRING(@bytes, entry.body_start, entry.body_length) AS body
FROM OPENJSON (:rows) WITH (
    job_key BIGINT '$.job_key',
    task INT '$.task',
    body_start INT '$.body[0]',
    body_length INT '$.body[1]'
) AS entry;
