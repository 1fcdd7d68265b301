-- Write down how a process ended that died while it ran a task.
-- Takes: a row's values, once a row; many rows are sent as one VALUES.
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
    entry.exit_signal,
    entry.peak_kib,
    entry.stacks,
    entry.last_lines
FROM (
    VALUES
    (
        :job_key,
        :task,
        :run,
        :attempt,
        :worker_key,
        CAST(:exit_code AS INT),
        CAST(:exit_signal AS VARCHAR(16)),
        CAST(:peak_kib AS BIGINT),
        CAST(:stacks AS NVARCHAR(MAX)),
        CAST(:last_lines AS NVARCHAR(MAX))
    )
) AS entry(job_key, task, run, attempt, worker_key, exit_code, exit_signal, peak_kib, stacks, last_lines)
WHERE NOT EXISTS (
    SELECT 1
    FROM rx.crash_rows AS known
    WHERE
        known.job_key = entry.job_key
        AND known.task = entry.task
        AND known.run = entry.run
        AND known.attempt = entry.attempt
);
