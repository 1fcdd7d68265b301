-- rxsql's roles in SQL Server, to which users are added: ALTER ROLE rx_client ADD MEMBER alice;
--
--     rx_reader     sees jobs, tasks, console lines and workers
--     rx_client     submits jobs from Python, takes results, cancels and cleans up
--     rx_worker     runs jobs
--     rx_publisher  publishes functions
--     rx_caller     runs published functions from SQL, and nothing else
--     rx_scripter   runs scripts from SQL: any code, as the worker's user
--
-- Nobody needs db_owner or sysadmin at run time.

IF DATABASE_PRINCIPAL_ID('rx_reader') IS NULL CREATE ROLE rx_reader;
GO

IF DATABASE_PRINCIPAL_ID('rx_client') IS NULL CREATE ROLE rx_client;
GO

IF DATABASE_PRINCIPAL_ID('rx_worker') IS NULL CREATE ROLE rx_worker;
GO

IF DATABASE_PRINCIPAL_ID('rx_publisher') IS NULL CREATE ROLE rx_publisher;
GO

IF DATABASE_PRINCIPAL_ID('rx_caller') IS NULL CREATE ROLE rx_caller;
GO

IF DATABASE_PRINCIPAL_ID('rx_scripter') IS NULL CREATE ROLE rx_scripter;
GO

-- A reader sees jobs, tasks, console lines and workers: not what a job was given, nor what it returned.
GRANT SELECT ON rx.schema_version TO rx_reader;
GRANT SELECT ON rx.jobs TO rx_reader;
GRANT SELECT ON rx.workers TO rx_reader;
GRANT SELECT ON rx.slots TO rx_reader;
GRANT SELECT ON rx.console_chunks TO rx_reader;
GRANT SELECT ON rx.tasks TO rx_reader;
GRANT SELECT ON rx.console TO rx_reader;
GRANT SELECT ON rx.crash_rows TO rx_reader;
GRANT SELECT ON rx.crashes TO rx_reader;
GRANT SELECT ON rx.job_progress TO rx_reader;
GRANT SELECT ON rx.queue_depth TO rx_reader;
GO

-- A client submits jobs, takes results, cancels and cleans up.
GRANT SELECT ON SCHEMA::rx TO rx_client;
GRANT INSERT ON rx.functions TO rx_client;
GRANT INSERT ON rx.jobs TO rx_client;
GRANT INSERT ON rx.inputs TO rx_client;
GRANT INSERT ON rx.task_rows TO rx_client;
GRANT INSERT ON rx.scripts TO rx_client;
GRANT INSERT ON rx.frames TO rx_client;
GRANT UPDATE ON rx.jobs TO rx_client;
GRANT UPDATE ON rx.task_rows TO rx_client;
GRANT DELETE ON rx.functions TO rx_client;
GRANT DELETE ON rx.inputs TO rx_client;
GRANT DELETE ON rx.task_rows TO rx_client;
GRANT DELETE ON rx.slots TO rx_client;
GRANT DELETE ON rx.results TO rx_client;
GRANT DELETE ON rx.console_chunks TO rx_client;
GRANT DELETE ON rx.crash_rows TO rx_client;
GRANT DELETE ON rx.scripts TO rx_client;
GRANT DELETE ON rx.frames TO rx_client;
GRANT DELETE ON rx.waiters TO rx_client;
GO

-- A worker lists itself, claims tasks, writes what comes of them, and purges what nobody collected. It cannot
-- submit, and cannot change what is to be run.
GRANT SELECT ON SCHEMA::rx TO rx_worker;
GRANT INSERT ON rx.workers TO rx_worker;
GRANT INSERT ON rx.slots TO rx_worker;
GRANT INSERT ON rx.results TO rx_worker;
GRANT INSERT ON rx.console_chunks TO rx_worker;
GRANT INSERT ON rx.crash_rows TO rx_worker;
GRANT INSERT ON rx.frames TO rx_worker;
GRANT UPDATE ON rx.workers TO rx_worker;
GRANT UPDATE ON rx.slots TO rx_worker;
GRANT UPDATE ON rx.jobs TO rx_worker;
GRANT UPDATE ON rx.task_rows TO rx_worker;
GRANT DELETE ON rx.functions TO rx_worker;
GRANT DELETE ON rx.jobs TO rx_worker;
GRANT DELETE ON rx.workers TO rx_worker;
GRANT DELETE ON rx.inputs TO rx_worker;
GRANT DELETE ON rx.task_rows TO rx_worker;
GRANT DELETE ON rx.slots TO rx_worker;
GRANT DELETE ON rx.results TO rx_worker;
GRANT DELETE ON rx.console_chunks TO rx_worker;
GRANT DELETE ON rx.crash_rows TO rx_worker;
GRANT DELETE ON rx.scripts TO rx_worker;
GRANT DELETE ON rx.frames TO rx_worker;
GRANT DELETE ON rx.waiters TO rx_worker;
GRANT EXECUTE ON rx.read_table TO rx_worker;
GRANT EXECUTE ON rx.add_output TO rx_worker;
GO

-- Who publishes decides what callers run.
GRANT SELECT ON rx.schema_version TO rx_publisher;
GRANT SELECT ON rx.published TO rx_publisher;
GRANT SELECT ON rx.functions TO rx_publisher;
GRANT SELECT ON rx.jobs TO rx_publisher;
GRANT INSERT ON rx.published TO rx_publisher;
GRANT INSERT ON rx.functions TO rx_publisher;
GRANT DELETE ON rx.published TO rx_publisher;
GRANT DELETE ON rx.functions TO rx_publisher;
GO

-- Callers touch no table: the procedures act for them, on their own jobs.
GRANT SELECT ON rx.published TO rx_caller;
GRANT EXECUTE ON rx.run_function TO rx_caller;
GRANT EXECUTE ON rx.submit_function TO rx_caller;
GRANT EXECUTE ON rx.wait_for_job TO rx_caller;
GRANT EXECUTE ON rx.fetch_result TO rx_caller;
GRANT EXECUTE ON rx.fetch_parameters TO rx_caller;
GRANT EXECUTE ON rx.cancel_job TO rx_caller;
GRANT EXECUTE ON rx.cleanup_job TO rx_caller;
GRANT EXECUTE ON rx.sp_execute_external_script TO rx_scripter;
GRANT EXECUTE ON rx.submit_script TO rx_scripter;
GRANT EXECUTE ON rx.store_script TO rx_scripter;
GRANT EXECUTE ON rx.wait_for_job TO rx_scripter;
GRANT EXECUTE ON rx.fetch_result TO rx_scripter;
GRANT EXECUTE ON rx.fetch_parameters TO rx_scripter;
GRANT EXECUTE ON rx.cancel_job TO rx_scripter;
GRANT EXECUTE ON rx.cleanup_job TO rx_scripter;
GRANT EXECUTE ON SCHEMA::rx TO rx_client;
GO

EXEC sp_releaseapplock @Resource = N'rxsql.schema', @LockOwner = N'Session';
GO
