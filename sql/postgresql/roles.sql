-- rxsql's roles in PostgreSQL, to be granted to logins: GRANT rx_client TO alice;
--
--     rx_reader     sees jobs, tasks, console lines and workers
--     rx_client     submits jobs from Python, takes results, cancels and cleans up
--     rx_worker     runs jobs
--     rx_publisher  publishes functions
--     rx_caller     runs published functions from SQL, and nothing else
--     rx_scripter   runs scripts from SQL: any code, as the worker's user
--
-- Roles belong to the whole server, so making them needs CREATEROLE. Who may not do that still installs the
-- tables: where the roles are not there, this says so, and an administrator can run this file later.

DO $$
DECLARE
    wanted CONSTANT TEXT [] := ARRAY[
        'rx_reader', 'rx_client', 'rx_worker', 'rx_publisher', 'rx_caller', 'rx_scripter'
    ];
    role_name TEXT;
BEGIN
    REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA rx FROM PUBLIC;

    FOREACH role_name IN ARRAY wanted LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE 'CREATE ROLE ' || QUOTE_IDENT(role_name) || ' NOLOGIN';
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL; -- an installation in another database was faster
                WHEN insufficient_privilege THEN
                    RAISE WARNING USING MESSAGE =
                        'The role ' || role_name || ' is not there, and ' || CURRENT_USER || ' may not make roles '
                        '(CREATEROLE). rxsql works for the owner of schema rx alone until an administrator has run '
                        'roles.sql in this database.';
                    RETURN;
            END;
        END IF;
    END LOOP;

    GRANT USAGE ON SCHEMA rx TO rx_reader, rx_client, rx_worker, rx_publisher, rx_caller, rx_scripter;

    -- A reader sees jobs, tasks, console lines and workers: not what a job was given, nor what it returned.
    GRANT SELECT ON
        rx.schema_version, rx.jobs, rx.workers, rx.slots, rx.console_chunks, rx.crash_rows, rx.tasks, rx.console, rx.crashes,
        rx.job_progress, rx.queue_depth
        TO rx_reader, rx_client, rx_worker;
    GRANT SELECT (
        job_key, task, status, attempt, worker_key, first_run, run_count, failed_runs, started_at, finished_at, seconds,
        error
    ) ON rx.task_rows TO rx_reader, rx_client;

    -- A client submits jobs, takes results, cancels and cleans up. Keys come from the identity columns, whose
    -- sequences need no grant.
    GRANT INSERT ON rx.functions, rx.jobs, rx.inputs, rx.task_rows, rx.scripts, rx.frames TO rx_client;
    GRANT SELECT ON rx.scripts, rx.frames, rx.waiters, rx.published TO rx_client;
    GRANT SELECT (function_hash) ON rx.functions TO rx_client;
    GRANT SELECT (job_key, task) ON rx.inputs TO rx_client;
    GRANT SELECT ON rx.results TO rx_client;
    GRANT UPDATE (status, error, done_runs, failed_runs, finished_at, purged_at) ON rx.jobs TO rx_client;
    GRANT UPDATE (status, error, finished_at) ON rx.task_rows TO rx_client;
    GRANT DELETE ON
        rx.functions, rx.inputs, rx.task_rows, rx.slots, rx.results, rx.console_chunks, rx.crash_rows, rx.scripts,
        rx.frames, rx.waiters
        TO rx_client;

    -- A worker lists itself, claims tasks, writes what comes of them, and purges what nobody collected. It cannot
    -- submit, and cannot change what is to be run.
    GRANT SELECT ON
        rx.functions, rx.inputs, rx.task_rows, rx.results, rx.scripts, rx.frames, rx.waiters, rx.published
        TO rx_worker;
    GRANT INSERT ON rx.workers, rx.slots, rx.results, rx.console_chunks, rx.crash_rows, rx.frames TO rx_worker;
    GRANT UPDATE (heartbeat_at, stopped_at, last_report) ON rx.workers TO rx_worker;
    GRANT UPDATE (slots) ON rx.slots TO rx_worker;
    GRANT UPDATE (status, error, done_runs, failed_runs, started_at, finished_at, purged_at) ON rx.jobs TO rx_worker;
    GRANT UPDATE (
        status, attempt, worker_key, failed_runs, started_at, finished_at, seconds, error
    ) ON rx.task_rows TO rx_worker;
    GRANT DELETE ON
        rx.functions, rx.jobs, rx.workers, rx.inputs, rx.task_rows, rx.slots, rx.results, rx.console_chunks,
        rx.crash_rows, rx.scripts, rx.frames, rx.waiters
        TO rx_worker;

    -- Who publishes decides what callers run.
    GRANT SELECT ON rx.schema_version, rx.published TO rx_publisher;
    GRANT INSERT, DELETE ON rx.published TO rx_publisher;
    GRANT INSERT, DELETE ON rx.functions TO rx_publisher;
    GRANT SELECT (function_hash) ON rx.functions TO rx_publisher;
    GRANT SELECT (function_hash, purged_at) ON rx.jobs TO rx_publisher;

    -- Callers touch no table: the functions act for them, on their own jobs.
    GRANT SELECT (name, function_name, published_by, published_at) ON rx.published TO rx_caller;
    GRANT EXECUTE ON FUNCTION rx.run_function TO rx_caller, rx_client;
    GRANT EXECUTE ON FUNCTION rx.submit_script, rx.stage_script, rx.add_script, rx.add_page TO rx_scripter, rx_client;
    GRANT EXECUTE ON FUNCTION
        rx.wait_for_job, rx.look_at_job, rx.fetch_result, rx.fetch_parameters, rx.cancel_job, rx.cleanup_job
        TO rx_caller, rx_scripter, rx_client;
    GRANT EXECUTE ON PROCEDURE rx.follow_job TO rx_caller, rx_scripter, rx_client;
END
$$;
