-- Write down what runs ended with; a run that has its result keeps it.
-- Takes: rows, bytes, texts: a JSON object a row, whose binary values and texts are places in the others.
DECLARE @bytes VARBINARY(MAX) = :bytes;
DECLARE @texts NVARCHAR(MAX) = :texts;
INSERT INTO rx.results (job_key, run, body, error, traceback)
SELECT
    entry.job_key,
    entry.run,
    SUBSTRING(@bytes, entry.body_start, entry.body_length) AS body,
    SUBSTRING(@texts, entry.error_start, entry.error_length) AS error,
    SUBSTRING(@texts, entry.traceback_start, entry.traceback_length) AS traceback
FROM
    OPENJSON (:rows) WITH (
        job_key BIGINT '$.job_key',
        run INT '$.run',
        body_start INT '$.body[0]',
        body_length INT '$.body[1]',
        error_start INT '$.error[0]',
        error_length INT '$.error[1]',
        traceback_start INT '$.traceback[0]',
        traceback_length INT '$.traceback[1]'
    ) AS entry
WHERE NOT EXISTS (
    SELECT 1
    FROM rx.results AS known WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
    WHERE known.job_key = entry.job_key AND known.run = entry.run
);
