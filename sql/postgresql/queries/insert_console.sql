-- Append console lines.
-- Takes: an array a column.
INSERT INTO rx.console_chunks (job_key, task, run, attempt, stream, first_line, lines, partial)
SELECT
    entry.job_key,
    entry.task,
    entry.run,
    entry.attempt,
    entry.stream,
    entry.first_line,
    entry.lines,
    entry.partial
FROM UNNEST(
    CAST(:job_key AS BIGINT[]),
    CAST(:task AS INTEGER[]),
    CAST(:run AS INTEGER[]),
    CAST(:attempt AS SMALLINT[]),
    CAST(:stream AS TEXT[]),
    CAST(:first_line AS INTEGER[]),
    CAST(:lines AS TEXT[]),
    CAST(:partial AS INTEGER[])
) AS entry (job_key, task, run, attempt, stream, first_line, lines, partial);
