-- Store pages of tables; a page that is there stays as it is.
-- Takes: an array a column.
INSERT INTO rx.frames (job_key, direction, task, page, row_count, header, body)
SELECT
    entry.job_key,
    entry.direction,
    entry.task,
    entry.page,
    entry.row_count,
    entry.header,
    entry.body
FROM
    UNNEST(
        CAST(:job_key AS BIGINT[]),
        CAST(:direction AS TEXT[]),
        CAST(:task AS INTEGER[]),
        CAST(:page AS INTEGER[]),
        CAST(:row_count AS INTEGER[]),
        CAST(:header AS TEXT[]),
        CAST(:body AS TEXT[])
    ) AS entry (job_key, direction, task, page, row_count, header, body)
ON CONFLICT (job_key, direction, task, page) DO NOTHING;
