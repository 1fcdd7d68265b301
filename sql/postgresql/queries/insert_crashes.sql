-- Write down how a process ended that died while it ran a task.
-- Takes: an array a column.
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
FROM
    UNNEST(
        CAST(:job_key AS BIGINT[]),
        CAST(:task AS INTEGER[]),
        CAST(:run AS INTEGER[]),
        CAST(:attempt AS SMALLINT[]),
        CAST(:worker_key AS BIGINT[]),
        CAST(:exit_code AS INTEGER[]),
        CAST(:exit_signal AS TEXT[]),
        CAST(:peak_kib AS BIGINT[]),
        CAST(:stacks AS TEXT[]),
        CAST(:last_lines AS TEXT[])
    ) AS entry (
        job_key, task, run, attempt, worker_key, exit_code, exit_signal, peak_kib, stacks, last_lines
    )
ON CONFLICT (job_key, task, run, attempt) DO NOTHING;
