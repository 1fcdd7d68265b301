-- Write down what runs ended with; a run that has its result keeps it.
-- Takes: a row's values, once a row; many rows are sent as one VALUES.
INSERT INTO rx.results (job_key, run, body, error, traceback)
SELECT
    entry.job_key,
    entry.run,
    entry.body,
    entry.error,
    entry.traceback
FROM (
    VALUES
    (
        :job_key,
        :run,
        CAST(:body AS VARBINARY(MAX)),
        CAST(:error AS NVARCHAR(MAX)),
        CAST(:traceback AS NVARCHAR(MAX))
    )
) AS entry(job_key, run, body, error, traceback)
WHERE NOT EXISTS (
    SELECT 1
    FROM rx.results AS known WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
    WHERE known.job_key = entry.job_key AND known.run = entry.run
);
