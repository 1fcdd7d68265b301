-- rxsql's tables in SQL Server, schema rx: what rx_exec submits, what workers run, what they write back.
--
-- The road of a job: a client inserts one row into jobs, one into task_rows for each task, and the function
-- into functions. A worker takes slots on the job, claims queued tasks (status running, attempt + 1), appends
-- to console_chunks while they run, and writes one row into results for each run and the task's end. The
-- job's status follows when no task is open any more.
--
-- Read the tables jobs and workers and the views tasks, console and job_progress: their columns are stable.
-- All times are UTC, by this server's clock. Run this in sqlcmd or SSMS as often as you like: what is there
-- stays.

-- noqa: disable=LT02
-- (the linter wants blocks indented twice)

SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
SET NOCOUNT ON;
SET XACT_ABORT ON;
GO

-- One installation at a time; the lock goes with the last batch, or with this session.
EXEC sp_getapplock
    @Resource = N'rxsql.schema', @LockMode = N'Exclusive', @LockOwner = N'Session', @LockTimeout = 60000;
GO

IF SCHEMA_ID('rx') IS NULL EXEC ('CREATE SCHEMA rx');
GO

IF OBJECT_ID('rx.schema_version', 'U') IS NULL
    CREATE TABLE rx.schema_version (
        version INT NOT NULL,
        installed_at DATETIME2(3) NOT NULL CONSTRAINT df_schema_version_installed_at DEFAULT SYSUTCDATETIME(),
        CONSTRAINT pk_schema_version PRIMARY KEY CLUSTERED (version)
    );
GO

-- Tables of another version are left alone: nothing below is run then.
IF EXISTS (SELECT 1 FROM rx.schema_version WHERE version <> 2)
BEGIN
    RAISERROR (N'Schema rx is of another version than this script; nothing was changed.', 16, 1);
    SET NOEXEC ON;
END;
GO

IF OBJECT_ID('rx.functions', 'U') IS NULL
    CREATE TABLE rx.functions (
        function_hash VARCHAR(64) NOT NULL,
        body VARBINARY(MAX) NOT NULL,
        CONSTRAINT pk_functions PRIMARY KEY CLUSTERED (function_hash)
    );
GO

IF OBJECT_ID('rx.jobs', 'U') IS NULL
BEGIN
    CREATE TABLE rx.jobs (
        job_key BIGINT IDENTITY (1, 1) NOT NULL,
        job_id NVARCHAR(128) NOT NULL,
        name NVARCHAR(256) NOT NULL,
        kind VARCHAR(16) NOT NULL CONSTRAINT df_jobs_kind DEFAULT 'function',
        status VARCHAR(16) NOT NULL CONSTRAINT df_jobs_status DEFAULT 'queued',
        run_count INT NOT NULL,
        done_runs INT NOT NULL CONSTRAINT df_jobs_done_runs DEFAULT 0,
        failed_runs INT NOT NULL CONSTRAINT df_jobs_failed_runs DEFAULT 0,
        num_tasks INT NOT NULL,
        max_attempts INT NOT NULL,
        continue_on_failure INT NOT NULL,
        has_inputs INT NOT NULL,
        packages_to_load NVARCHAR(MAX) NOT NULL,
        execution_timeout_seconds INT NOT NULL,
        auto_cleanup INT NOT NULL,
        console_output INT NOT NULL,
        context NVARCHAR(MAX) NOT NULL,
        python VARCHAR(8) NOT NULL,
        function_hash VARCHAR(64) NOT NULL,
        signature VARCHAR(160) NULL,
        submitted_by NVARCHAR(256) NOT NULL,
        error NVARCHAR(MAX) NULL,
        created_at DATETIME2(3) NOT NULL CONSTRAINT df_jobs_created_at DEFAULT SYSUTCDATETIME(),
        started_at DATETIME2(3) NULL,
        finished_at DATETIME2(3) NULL,
        purged_at DATETIME2(3) NULL,
        CONSTRAINT pk_jobs PRIMARY KEY CLUSTERED (job_key),
        CONSTRAINT uq_jobs_job_id UNIQUE NONCLUSTERED (job_id),
        CONSTRAINT ck_jobs_status CHECK (status IN ('queued', 'running', 'finished', 'failed', 'canceled'))
    );
    CREATE NONCLUSTERED INDEX ix_jobs_open ON rx.jobs (job_key) INCLUDE (python, num_tasks, status)
    WHERE status IN ('queued', 'running');
    -- Whether somebody still needs a function; purged jobs, of which there may be very many, do not.
    CREATE NONCLUSTERED INDEX ix_jobs_function_hash ON rx.jobs (function_hash) WHERE purged_at IS NULL;
END;
GO

IF OBJECT_ID('rx.workers', 'U') IS NULL
    CREATE TABLE rx.workers (
        worker_key BIGINT IDENTITY (1, 1) NOT NULL,
        worker_id NVARCHAR(128) NOT NULL,
        host NVARCHAR(256) NOT NULL,
        pid INT NOT NULL,
        python VARCHAR(8) NOT NULL,
        version VARCHAR(32) NOT NULL,
        slots INT NOT NULL,
        lease_seconds FLOAT NOT NULL,
        last_report BIGINT NOT NULL CONSTRAINT df_workers_last_report DEFAULT 0,
        started_at DATETIME2(3) NOT NULL CONSTRAINT df_workers_started_at DEFAULT SYSUTCDATETIME(),
        heartbeat_at DATETIME2(3) NOT NULL CONSTRAINT df_workers_heartbeat_at DEFAULT SYSUTCDATETIME(),
        stopped_at DATETIME2(3) NULL,
        CONSTRAINT pk_workers PRIMARY KEY CLUSTERED (worker_key),
        CONSTRAINT uq_workers_worker_id UNIQUE NONCLUSTERED (worker_id)
    );
GO

-- The hot table: narrow, clustered by (job, task). Small inputs stand in it, in the row.
IF OBJECT_ID('rx.task_rows', 'U') IS NULL
BEGIN
    CREATE TABLE rx.task_rows (
        job_key BIGINT NOT NULL,
        task INT NOT NULL,
        status VARCHAR(16) NOT NULL CONSTRAINT df_task_rows_status DEFAULT 'queued',
        attempt SMALLINT NOT NULL CONSTRAINT df_task_rows_attempt DEFAULT 0,
        worker_key BIGINT NULL,
        first_run INT NOT NULL,
        run_count INT NOT NULL,
        failed_runs INT NOT NULL CONSTRAINT df_task_rows_failed_runs DEFAULT 0,
        started_at DATETIME2(3) NULL,
        finished_at DATETIME2(3) NULL,
        seconds FLOAT NULL,
        error NVARCHAR(MAX) NULL,
        input VARBINARY(MAX) NULL,
        CONSTRAINT pk_task_rows PRIMARY KEY CLUSTERED (job_key, task),
        CONSTRAINT ck_task_rows_status CHECK (
            status IN ('queued', 'running', 'finished', 'failed', 'canceled')
        )
    );
    -- The claim's order is this index's order.
    CREATE NONCLUSTERED INDEX ix_task_rows_open ON rx.task_rows (job_key, status, task)
    WHERE status IN ('queued', 'running');
END;
GO

-- A table lock would be one that READPAST cannot skip.
-- noqa: disable=PRS
ALTER TABLE rx.task_rows SET (LOCK_ESCALATION = DISABLE);
ALTER TABLE rx.jobs SET (LOCK_ESCALATION = DISABLE);
GO
-- noqa: enable=PRS

IF OBJECT_ID('rx.slots', 'U') IS NULL
BEGIN
    CREATE TABLE rx.slots (
        job_key BIGINT NOT NULL,
        worker_key BIGINT NOT NULL,
        slots INT NOT NULL,
        CONSTRAINT pk_slots PRIMARY KEY CLUSTERED (job_key, worker_key)
    );
    CREATE NONCLUSTERED INDEX ix_slots_worker_key ON rx.slots (worker_key);
END;
GO

-- Write-once: the input that all runs share stands at task -1, large ones at their task.
IF OBJECT_ID('rx.inputs', 'U') IS NULL
    CREATE TABLE rx.inputs (
        job_key BIGINT NOT NULL,
        task INT NOT NULL,
        body VARBINARY(MAX) NOT NULL,
        CONSTRAINT pk_inputs PRIMARY KEY CLUSTERED (job_key, task)
    );
GO

IF OBJECT_ID('rx.results', 'U') IS NULL
    CREATE TABLE rx.results (
        job_key BIGINT NOT NULL,
        run INT NOT NULL,
        body VARBINARY(MAX) NULL,
        error NVARCHAR(MAX) NULL,
        traceback NVARCHAR(MAX) NULL,
        CONSTRAINT pk_results PRIMARY KEY CLUSTERED (job_key, run)
    );
GO

-- Lines as a JSON array of strings: a flood costs a row a chunk, and the view console shows a row a line.
IF OBJECT_ID('rx.console_chunks', 'U') IS NULL
BEGIN
    CREATE TABLE rx.console_chunks (
        chunk_key BIGINT IDENTITY (1, 1) NOT NULL,
        job_key BIGINT NOT NULL,
        task INT NOT NULL,
        run INT NOT NULL,
        attempt SMALLINT NOT NULL,
        stream VARCHAR(8) NOT NULL,
        first_line INT NOT NULL,
        lines NVARCHAR(MAX) NOT NULL,
        partial INT NOT NULL,
        written_at DATETIME2(3) NOT NULL CONSTRAINT df_console_chunks_written_at DEFAULT SYSUTCDATETIME(),
        CONSTRAINT pk_console_chunks PRIMARY KEY CLUSTERED (chunk_key),
        CONSTRAINT ck_console_chunks_stream CHECK (stream IN ('stdout', 'stderr'))
    );
    CREATE NONCLUSTERED INDEX ix_console_chunks_job_key ON rx.console_chunks (job_key, chunk_key);
END;
GO

-- Scripts and calls of published functions: what a job of that kind runs. Its tables stand in frames.
IF OBJECT_ID('rx.scripts', 'U') IS NULL
    CREATE TABLE rx.scripts (
        job_key BIGINT NOT NULL,
        language NVARCHAR(128) NOT NULL,
        script NVARCHAR(MAX) NULL,
        input_name NVARCHAR(128) NOT NULL,
        output_name NVARCHAR(128) NOT NULL,
        params NVARCHAR(MAX) NOT NULL,
        CONSTRAINT pk_scripts PRIMARY KEY CLUSTERED (job_key)
    );
GO

-- Tables as pages of JSON, the same in every database: in before a run; out and param, the OUTPUT parameters,
-- after it. A header is an array of [name, type, size, scale], a body an array of rows; without one, the rows
-- stand in rx.input_<job_key> or rx.output_<job_key>.
IF OBJECT_ID('rx.frames', 'U') IS NULL
    CREATE TABLE rx.frames (
        job_key BIGINT NOT NULL,
        direction VARCHAR(8) NOT NULL,
        task INT NOT NULL,
        page INT NOT NULL,
        row_count INT NOT NULL,
        header NVARCHAR(MAX) NOT NULL,
        body NVARCHAR(MAX) NOT NULL,
        CONSTRAINT pk_frames PRIMARY KEY CLUSTERED (job_key, direction, task, page),
        CONSTRAINT ck_frames_direction CHECK (direction IN ('in', 'out', 'param'))
    );
GO

-- Callers that wait inside the database renew their row; a worker cancels the job of one that went away.
IF OBJECT_ID('rx.waiters', 'U') IS NULL
    CREATE TABLE rx.waiters (
        job_key BIGINT NOT NULL,
        seen_at DATETIME2(3) NOT NULL CONSTRAINT df_waiters_seen_at DEFAULT SYSUTCDATETIME(),
        CONSTRAINT pk_waiters PRIMARY KEY CLUSTERED (job_key)
    );
GO

-- Functions that `rxsql publish` made callable by name.
IF OBJECT_ID('rx.published', 'U') IS NULL
    CREATE TABLE rx.published (
        name NVARCHAR(128) NOT NULL,
        function_name NVARCHAR(256) NOT NULL,
        function_hash VARCHAR(64) NOT NULL,
        python VARCHAR(8) NOT NULL,
        published_by NVARCHAR(256) NOT NULL,
        published_at DATETIME2(3) NOT NULL CONSTRAINT df_published_published_at DEFAULT SYSUTCDATETIME(),
        signature VARCHAR(160) NULL,
        CONSTRAINT pk_published PRIMARY KEY CLUSTERED (name)
    );
GO

-- The black box: how a process ended that died while it ran user code.
IF OBJECT_ID('rx.crash_rows', 'U') IS NULL
    CREATE TABLE rx.crash_rows (
        job_key BIGINT NOT NULL,
        task INT NOT NULL,
        run INT NOT NULL,
        attempt SMALLINT NOT NULL,
        worker_key BIGINT NOT NULL,
        exit_code INT NULL,
        exit_signal VARCHAR(16) NULL,
        peak_kib BIGINT NULL,
        stacks NVARCHAR(MAX) NULL,
        last_lines NVARCHAR(MAX) NULL,
        died_at DATETIME2(3) NOT NULL CONSTRAINT df_crash_rows_died_at DEFAULT SYSUTCDATETIME(),
        CONSTRAINT pk_crash_rows PRIMARY KEY CLUSTERED (job_key, task, run, attempt)
    );
GO

IF NOT EXISTS (SELECT 1 FROM rx.schema_version WHERE version = 2)
    INSERT INTO rx.schema_version (version) VALUES (2);
GO
