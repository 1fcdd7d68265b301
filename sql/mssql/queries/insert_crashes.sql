-- Write down how a process ended that died while it ran a task.
-- Takes: rows, texts: a JSON object a row, whose texts are places in the texts.
DECLARE @texts NVARCHAR(MAX) = :texts;
INSERT INTO rx.crash_rows (
    job_key, task, run, attempt, worker_key, exit_code, exit_signal, peak_kib, stacks, last_lines
)
SELECT
    entry.job_key,
    entry.task,
    entry.run,
    entry.attempt,
    entry.worker_key,
    entry.exit_code,
    SUBSTRING(@texts, entry.exit_signal_start, entry.exit_signal_length) AS exit_signal,
    entry.peak_kib,
    SUBSTRING(@texts, entry.stacks_start, entry.stacks_length) AS stacks,
    SUBSTRING(@texts, entry.last_lines_start, entry.last_lines_length) AS last_lines
FROM
    OPENJSON (:rows) WITH (
        job_key BIGINT '$.job_key',
        task INT '$.task',
        run INT '$.run',
        attempt SMALLINT '$.attempt',
        worker_key BIGINT '$.worker_key',
        exit_code INT '$.exit_code',
        exit_signal_start INT '$.exit_signal[0]',
        exit_signal_length INT '$.exit_signal[1]',
        peak_kib BIGINT '$.peak_kib',
        stacks_start INT '$.stacks[0]',
        stacks_length INT '$.stacks[1]',
        last_lines_start INT '$.last_lines[0]',
        last_lines_length INT '$.last_lines[1]'
    ) AS entry
WHERE NOT EXISTS (
    SELECT 1
    FROM rx.crash_rows AS known
    WHERE
        known.job_key = entry.job_key
        AND known.task = entry.task
        AND known.run = entry.run
        AND known.attempt = entry.attempt
);
