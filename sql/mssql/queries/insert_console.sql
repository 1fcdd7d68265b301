-- Append console lines.
-- Takes: a row's values, once a row; many rows are sent as one VALUES.
INSERT INTO rx.console_chunks (job_key, task, run, attempt, stream, first_line, lines, partial)
VALUES
(
    :job_key,
    :task,
    :run,
    :attempt,
    CAST(:stream AS VARCHAR(8)),
    :first_line,
    CAST(:lines AS NVARCHAR(MAX)),
    :partial
);
