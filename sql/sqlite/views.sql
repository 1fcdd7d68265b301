-- The views that make a job readable: one row a task, one row a console line, one row a job with its
-- progress.

DROP VIEW IF EXISTS tasks;

CREATE VIEW tasks AS
SELECT
    jobs.job_id,
    task_rows.task,
    task_rows.first_run,
    task_rows.run_count,
    task_rows.status,
    task_rows.attempt,
    workers.worker_id,
    task_rows.failed_runs,
    task_rows.started_at,
    task_rows.finished_at,
    task_rows.seconds,
    task_rows.error
FROM task_rows
INNER JOIN jobs ON task_rows.job_key = jobs.job_key
LEFT JOIN workers ON task_rows.worker_key = workers.worker_key;

DROP VIEW IF EXISTS console;

CREATE VIEW console AS
SELECT
    jobs.job_id,
    console_chunks.task,
    console_chunks.run,
    console_chunks.attempt,
    console_chunks.stream,
    console_chunks.first_line + line.key AS line,
    line.value AS text,
    console_chunks.written_at,
    console_chunks.chunk_key
FROM console_chunks
INNER JOIN jobs ON console_chunks.job_key = jobs.job_key
CROSS JOIN JSON_EACH(console_chunks.lines) AS line;

-- One row a process that died while it ran user code: how it ended, its largest memory in KiB, where its
-- Python threads were and what it had written last, where that could be had.
DROP VIEW IF EXISTS crashes;

CREATE VIEW crashes AS
SELECT
    jobs.job_id,
    crash_rows.task,
    crash_rows.run,
    crash_rows.attempt,
    workers.worker_id,
    crash_rows.exit_code,
    crash_rows.exit_signal,
    crash_rows.peak_kib,
    crash_rows.stacks,
    crash_rows.last_lines,
    crash_rows.died_at
FROM crash_rows
INNER JOIN jobs ON crash_rows.job_key = jobs.job_key
LEFT JOIN workers ON crash_rows.worker_key = workers.worker_key;

DROP VIEW IF EXISTS job_progress;

CREATE VIEW job_progress AS
SELECT
    rated.job_id,
    rated.name,
    rated.status,
    rated.run_count,
    rated.done_runs,
    rated.failed_runs,
    rated.created_at,
    rated.started_at,
    rated.finished_at,
    rated.purged_at,
    rated.error,
    rated.percent,
    rated.queued_tasks,
    rated.running_tasks,
    rated.finished_tasks,
    rated.failed_tasks,
    rated.canceled_tasks,
    rated.waiting_seconds,
    rated.runs_per_second,
    CASE
        -- What is further away than any calendar reaches is not known.
        WHEN
            rated.status = 'running'
            AND (rated.run_count - rated.done_runs) / rated.runs_per_second < 2000000000
            THEN
                STRFTIME(
                    '%Y-%m-%d %H:%M:%f',
                    JULIANDAY('now') + (rated.run_count - rated.done_runs) / rated.runs_per_second / 86400.0
                )
        WHEN rated.status NOT IN ('queued', 'running') THEN rated.finished_at
    END AS estimated_end
FROM (
    SELECT
        counted.job_id,
        counted.name,
        counted.status,
        counted.run_count,
        counted.done_runs,
        counted.failed_runs,
        counted.created_at,
        counted.started_at,
        counted.finished_at,
        counted.purged_at,
        counted.error,
        counted.queued_tasks,
        counted.running_tasks,
        counted.finished_tasks,
        counted.failed_tasks,
        counted.canceled_tasks,
        CASE
            WHEN counted.run_count = 0 THEN 100
            ELSE 100 * counted.done_runs / counted.run_count
        END AS percent,
        CASE
            WHEN counted.queued_tasks > 0
                THEN
                    (JULIANDAY(STRFTIME('%Y-%m-%d %H:%M:%f', 'now')) - JULIANDAY(counted.created_at))
                    * 86400.0
        END AS waiting_seconds,
        CASE
            WHEN counted.done_runs > 0 AND counted.started_at IS NOT NULL
                THEN
                    counted.done_runs
                    / MAX(
                        (
                            JULIANDAY(COALESCE(counted.finished_at, STRFTIME('%Y-%m-%d %H:%M:%f', 'now')))
                            - JULIANDAY(counted.started_at)
                        )
                        * 86400.0,
                        0.001
                    )
        END AS runs_per_second
    FROM (
        SELECT
            jobs.job_id,
            jobs.name,
            jobs.status,
            jobs.run_count,
            CASE
                WHEN jobs.status IN ('queued', 'running')
                    THEN (
                        SELECT COALESCE(SUM(task_rows.run_count), 0)
                        FROM task_rows
                        WHERE task_rows.job_key = jobs.job_key AND task_rows.status IN ('finished', 'failed')
                    )
                ELSE jobs.done_runs
            END AS done_runs,
            CASE
                WHEN jobs.status IN ('queued', 'running')
                    THEN (
                        SELECT COALESCE(SUM(task_rows.failed_runs), 0)
                        FROM task_rows
                        WHERE task_rows.job_key = jobs.job_key AND task_rows.status = 'failed'
                    )
                ELSE jobs.failed_runs
            END AS failed_runs,
            (
                SELECT COUNT(*)
                FROM task_rows
                WHERE task_rows.job_key = jobs.job_key AND task_rows.status = 'queued'
            ) AS queued_tasks,
            (
                SELECT COUNT(*)
                FROM task_rows
                WHERE task_rows.job_key = jobs.job_key AND task_rows.status = 'running'
            ) AS running_tasks,
            (
                SELECT COUNT(*)
                FROM task_rows
                WHERE task_rows.job_key = jobs.job_key AND task_rows.status = 'finished'
            ) AS finished_tasks,
            (
                SELECT COUNT(*)
                FROM task_rows
                WHERE task_rows.job_key = jobs.job_key AND task_rows.status = 'failed'
            ) AS failed_tasks,
            (
                SELECT COUNT(*)
                FROM task_rows
                WHERE task_rows.job_key = jobs.job_key AND task_rows.status = 'canceled'
            ) AS canceled_tasks,
            jobs.created_at,
            jobs.started_at,
            jobs.finished_at,
            jobs.purged_at,
            jobs.error
        FROM jobs
    ) AS counted
) AS rated;

-- How many tasks could start now if there were children for them: queued ones, within each job's num_tasks. A
-- scaler reads it; tasks that a worker has already do not count.
DROP VIEW IF EXISTS queue_depth;

CREATE VIEW queue_depth AS
SELECT COALESCE(SUM(waiting.could_start), 0) AS depth
FROM (
    SELECT
        CASE
            WHEN counted.num_tasks = 0 THEN counted.queued
            WHEN counted.num_tasks <= counted.slots THEN 0
            WHEN counted.queued < counted.num_tasks - counted.slots THEN counted.queued
            ELSE counted.num_tasks - counted.slots
        END AS could_start
    FROM (
        SELECT
            jobs.num_tasks,
            COALESCE((
                SELECT SUM(slots.slots)
                FROM slots
                WHERE slots.job_key = jobs.job_key
            ), 0) AS slots,
            (
                SELECT COUNT(*)
                FROM task_rows
                WHERE
                    task_rows.job_key = jobs.job_key
                    AND task_rows.status = 'queued'
                    AND task_rows.status IN ('queued', 'running')
            ) AS queued
        FROM jobs
        WHERE jobs.status IN ('queued', 'running')
    ) AS counted
) AS waiting;
