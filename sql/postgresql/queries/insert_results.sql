-- Write down what runs ended with; a run that has its result keeps it.
-- Takes: an array a column.
INSERT INTO rx.results (job_key, run, body, error, traceback)
SELECT
    entry.job_key,
    entry.run,
    entry.body,
    entry.error,
    entry.traceback
FROM
    UNNEST(
        CAST(:job_key AS BIGINT[]),
        CAST(:run AS INTEGER[]),
        CAST(:body AS BYTEA[]),
        CAST(:error AS TEXT[]),
        CAST(:traceback AS TEXT[])
    ) AS entry (job_key, run, body, error, traceback)
ON CONFLICT (job_key, run) DO NOTHING;
