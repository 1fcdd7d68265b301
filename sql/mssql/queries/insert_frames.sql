-- Store pages of tables; a page that is there stays as it is.
-- Takes: rows, bytes, texts: a JSON object a row, whose texts are places in the others.
DECLARE @texts NVARCHAR(MAX) = :texts;
INSERT INTO rx.frames (job_key, direction, task, page, row_count, header, body)
SELECT
    entry.job_key,
    SUBSTRING(@texts, entry.direction_start, entry.direction_length) AS direction,
    entry.task,
    entry.page,
    entry.row_count,
    SUBSTRING(@texts, entry.header_start, entry.header_length) AS header,
    SUBSTRING(@texts, entry.body_start, entry.body_length) AS body
FROM
    OPENJSON (:rows) WITH (
        job_key BIGINT '$.job_key',
        task INT '$.task',
        page INT '$.page',
        row_count INT '$.row_count',
        direction_start INT '$.direction[0]',
        direction_length INT '$.direction[1]',
        header_start INT '$.header[0]',
        header_length INT '$.header[1]',
        body_start INT '$.body[0]',
        body_length INT '$.body[1]'
    ) AS entry
WHERE NOT EXISTS (
    SELECT 1
    FROM rx.frames AS known WITH (UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
    WHERE
        known.job_key = entry.job_key
        AND known.direction = SUBSTRING(@texts, entry.direction_start, entry.direction_length)
        AND known.task = entry.task
        AND known.page = entry.page
);
