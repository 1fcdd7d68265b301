-- Append console lines, in the order of the rows.
-- Takes: rows, texts: a JSON object a row, whose texts are places in the texts.
DECLARE @texts NVARCHAR(MAX) = :texts;
INSERT INTO rx.console_chunks (job_key, task, run, attempt, stream, first_line, lines, partial)
SELECT
    entry.job_key,
    entry.task,
    entry.run,
    entry.attempt,
    SUBSTRING(@texts, entry.stream_start, entry.stream_length) AS stream,
    entry.first_line,
    SUBSTRING(@texts, entry.lines_start, entry.lines_length) AS lines,
    entry.partial
FROM
    OPENJSON (:rows) WITH (
        place INT '$.place',
        job_key BIGINT '$.job_key',
        task INT '$.task',
        run INT '$.run',
        attempt SMALLINT '$.attempt',
        stream_start INT '$.stream[0]',
        stream_length INT '$.stream[1]',
        first_line INT '$.first_line',
        lines_start INT '$.lines[0]',
        lines_length INT '$.lines[1]',
        partial INT '$.partial'
    ) AS entry
ORDER BY entry.place;
