-- Store pages of tables; a page that is there stays as it is.
-- Takes: a row's values, once a row; many rows are sent as one VALUES.
INSERT INTO rx.frames (job_key, direction, task, page, row_count, header, body)
SELECT
    entry.job_key,
    entry.direction,
    entry.task,
    entry.page,
    entry.row_count,
    entry.header,
    entry.body
FROM (
    VALUES
    (
        :job_key,
        CAST(:direction AS VARCHAR(8)),
        :task,
        :page,
        :row_count,
        CAST(:header AS NVARCHAR(MAX)),
        CAST(:body AS NVARCHAR(MAX))
    )
) AS entry(job_key, direction, task, page, row_count, header, body)
WHERE NOT EXISTS (
    SELECT 1
    FROM rx.frames AS known WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
    WHERE
        known.job_key = entry.job_key
        AND known.direction = entry.direction
        AND known.task = entry.task
        AND known.page = entry.page
);
