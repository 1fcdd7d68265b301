-- Remove rxsql from this database: all jobs and results, the views and tables, schema rx and its roles.
-- Users stay; take them out of the roles first.

DROP VIEW IF EXISTS rx.queue_depth;
DROP VIEW IF EXISTS rx.job_progress;
DROP VIEW IF EXISTS rx.crashes;
DROP VIEW IF EXISTS rx.console;
DROP VIEW IF EXISTS rx.tasks;
GO

DROP TABLE IF EXISTS rx.crash_rows;
DROP TABLE IF EXISTS rx.console_chunks;
DROP TABLE IF EXISTS rx.results;
DROP TABLE IF EXISTS rx.inputs;
DROP TABLE IF EXISTS rx.slots;
DROP TABLE IF EXISTS rx.task_rows;
DROP TABLE IF EXISTS rx.workers;
DROP TABLE IF EXISTS rx.jobs;
DROP TABLE IF EXISTS rx.functions;
DROP TABLE IF EXISTS rx.schema_version;
GO

DROP SCHEMA IF EXISTS rx;
GO

DROP ROLE IF EXISTS rx_reader;
DROP ROLE IF EXISTS rx_client;
DROP ROLE IF EXISTS rx_worker;
GO
