-- rxsql's tables in an SQLite file: what rx_exec submits, what workers run, what they write back.
--
-- The road of a job: a client inserts one row into jobs, one into task_rows for each task, and the function
-- into functions. A worker takes slots on the job, claims queued tasks (status running, attempt + 1), appends
-- to console_chunks while they run, and writes one row into results for each run and the task's end. The
-- job's status follows when no task is open any more.
--
-- Read the tables jobs and workers and the views tasks, console and job_progress: their columns are stable.
-- All times are UTC, by this database's clock.

CREATE TABLE IF NOT EXISTS schema_version (
    version INTEGER NOT NULL,
    installed_at TEXT NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'now')),
    CONSTRAINT pk_schema_version PRIMARY KEY (version)
);

CREATE TABLE IF NOT EXISTS functions (
    function_hash TEXT NOT NULL,
    body BLOB NOT NULL,
    CONSTRAINT pk_functions PRIMARY KEY (function_hash)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS jobs (
    job_key INTEGER NOT NULL,
    job_id TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT 'function',
    status TEXT NOT NULL DEFAULT 'queued',
    run_count INTEGER NOT NULL,
    done_runs INTEGER NOT NULL DEFAULT 0,
    failed_runs INTEGER NOT NULL DEFAULT 0,
    num_tasks INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    continue_on_failure INTEGER NOT NULL,
    has_inputs INTEGER NOT NULL,
    packages_to_load TEXT NOT NULL,
    execution_timeout_seconds INTEGER NOT NULL,
    auto_cleanup INTEGER NOT NULL,
    console_output INTEGER NOT NULL,
    context TEXT NOT NULL,
    python TEXT NOT NULL,
    function_hash TEXT NOT NULL,
    signature TEXT,
    submitted_by TEXT NOT NULL,
    error TEXT,
    created_at TEXT NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'now')),
    started_at TEXT,
    finished_at TEXT,
    purged_at TEXT,
    CONSTRAINT pk_jobs PRIMARY KEY (job_key),
    CONSTRAINT uq_jobs_job_id UNIQUE (job_id),
    CONSTRAINT ck_jobs_status CHECK (status IN ('queued', 'running', 'finished', 'failed', 'canceled'))
);

CREATE INDEX IF NOT EXISTS ix_jobs_open ON jobs (job_key) WHERE status IN ('queued', 'running');

-- Whether somebody still needs a function; purged jobs, of which there may be very many, do not.
CREATE INDEX IF NOT EXISTS ix_jobs_function_hash ON jobs (function_hash) WHERE purged_at IS NULL;

CREATE TABLE IF NOT EXISTS workers (
    worker_key INTEGER NOT NULL,
    worker_id TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    python TEXT NOT NULL,
    version TEXT NOT NULL,
    slots INTEGER NOT NULL,
    lease_seconds REAL NOT NULL,
    last_report INTEGER NOT NULL DEFAULT 0,
    started_at TEXT NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'now')),
    heartbeat_at TEXT NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'now')),
    stopped_at TEXT,
    CONSTRAINT pk_workers PRIMARY KEY (worker_key),
    CONSTRAINT uq_workers_worker_id UNIQUE (worker_id)
);

-- The hot table: narrow, clustered by (job, task). Small inputs stand in it.
CREATE TABLE IF NOT EXISTS task_rows (
    job_key INTEGER NOT NULL,
    task INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'queued',
    attempt INTEGER NOT NULL DEFAULT 0,
    worker_key INTEGER,
    first_run INTEGER NOT NULL,
    run_count INTEGER NOT NULL,
    failed_runs INTEGER NOT NULL DEFAULT 0,
    started_at TEXT,
    finished_at TEXT,
    seconds REAL,
    error TEXT,
    input BLOB,
    CONSTRAINT pk_task_rows PRIMARY KEY (job_key, task),
    CONSTRAINT ck_task_rows_status CHECK (status IN ('queued', 'running', 'finished', 'failed', 'canceled'))
) WITHOUT ROWID;

-- The claim's order is this index's order.
CREATE INDEX IF NOT EXISTS ix_task_rows_open ON task_rows (job_key, status, task)
WHERE status IN ('queued', 'running');

-- A row for each worker that is at work for a job: there are never many.
CREATE TABLE IF NOT EXISTS slots (
    job_key INTEGER NOT NULL,
    worker_key INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    CONSTRAINT pk_slots PRIMARY KEY (job_key, worker_key)
) WITHOUT ROWID;

-- Write-once: the input that all runs share stands at task -1, large ones at their task. Of an input or
-- result of 1 MB or more the body is text: its place in the folder beside this file, as job/file/start/bytes.
CREATE TABLE IF NOT EXISTS inputs (
    job_key INTEGER NOT NULL,
    task INTEGER NOT NULL,
    body BLOB NOT NULL,
    CONSTRAINT pk_inputs PRIMARY KEY (job_key, task)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS results (
    job_key INTEGER NOT NULL,
    run INTEGER NOT NULL,
    body BLOB,
    error TEXT,
    traceback TEXT,
    CONSTRAINT pk_results PRIMARY KEY (job_key, run)
) WITHOUT ROWID;

-- Lines as a JSON array of strings: a flood costs a row a chunk, and the view console shows a row a line.
CREATE TABLE IF NOT EXISTS console_chunks (
    chunk_key INTEGER NOT NULL,
    job_key INTEGER NOT NULL,
    task INTEGER NOT NULL,
    run INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    stream TEXT NOT NULL,
    first_line INTEGER NOT NULL,
    lines TEXT NOT NULL,
    partial INTEGER NOT NULL,
    written_at TEXT NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'now')),
    CONSTRAINT pk_console_chunks PRIMARY KEY (chunk_key),
    CONSTRAINT ck_console_chunks_stream CHECK (stream IN ('stdout', 'stderr'))
);

CREATE INDEX IF NOT EXISTS ix_console_chunks_job_key ON console_chunks (job_key, chunk_key);

-- Scripts and calls of published functions: what a job of that kind runs. Its tables stand in frames.
CREATE TABLE IF NOT EXISTS scripts (
    job_key INTEGER NOT NULL,
    language TEXT NOT NULL,
    script TEXT,
    input_name TEXT NOT NULL,
    output_name TEXT NOT NULL,
    params TEXT NOT NULL,
    CONSTRAINT pk_scripts PRIMARY KEY (job_key)
);

-- Tables as pages of JSON, the same in every database: in before a run; out and param, the OUTPUT parameters,
-- after it. A header is an array of [name, type, size, scale], a body an array of rows.
CREATE TABLE IF NOT EXISTS frames (
    job_key INTEGER NOT NULL,
    direction TEXT NOT NULL,
    task INTEGER NOT NULL,
    page INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    header TEXT NOT NULL,
    body TEXT NOT NULL,
    CONSTRAINT pk_frames PRIMARY KEY (job_key, direction, task, page),
    CONSTRAINT ck_frames_direction CHECK (direction IN ('in', 'out', 'param'))
);

-- Callers that wait inside the database renew their row; a worker cancels the job of one that went away.
CREATE TABLE IF NOT EXISTS waiters (
    job_key INTEGER NOT NULL,
    seen_at TEXT NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'now')),
    CONSTRAINT pk_waiters PRIMARY KEY (job_key)
);

-- Functions that `rxsql publish` made callable by name.
CREATE TABLE IF NOT EXISTS published (
    name TEXT NOT NULL,
    function_name TEXT NOT NULL,
    function_hash TEXT NOT NULL,
    python TEXT NOT NULL,
    published_by TEXT NOT NULL,
    published_at TEXT NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'now')),
    signature TEXT,
    CONSTRAINT pk_published PRIMARY KEY (name)
);

-- The black box: how a process ended that died while it ran user code.
CREATE TABLE IF NOT EXISTS crash_rows (
    job_key INTEGER NOT NULL,
    task INTEGER NOT NULL,
    run INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    worker_key INTEGER NOT NULL,
    exit_code INTEGER,
    exit_signal TEXT,
    peak_kib INTEGER,
    stacks TEXT,
    last_lines TEXT,
    died_at TEXT NOT NULL DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'now')),
    CONSTRAINT pk_crash_rows PRIMARY KEY (job_key, task, run, attempt)
);

INSERT OR IGNORE INTO schema_version (version) VALUES (2);
