-- Write down how a process ended that died while it ran a task.
-- Takes: a row's values, once a row.
INSERT OR IGNORE INTO crash_rows (
    job_key, task, run, attempt, worker_key, exit_code, exit_signal, peak_kib, stacks, last_lines
)
VALUES (
    :job_key, :task, :run, :attempt, :worker_key, :exit_code, :exit_signal, :peak_kib, :stacks, :last_lines
);
