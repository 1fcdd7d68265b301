-- Remove rxsql from this database: all jobs and results, the views and tables, schema rx and its roles.
-- Users stay; take them out of the roles first.

DROP PROCEDURE IF EXISTS rx.fail;
DROP PROCEDURE IF EXISTS rx.add_job;
DROP FUNCTION IF EXISTS rx.own_job;
DROP PROCEDURE IF EXISTS rx.drop_stored;
DROP PROCEDURE IF EXISTS rx.cancel_job;
DROP PROCEDURE IF EXISTS rx.cleanup_job;
DROP PROCEDURE IF EXISTS rx.finished_job;
DROP PROCEDURE IF EXISTS rx.fetch_result;
DROP PROCEDURE IF EXISTS rx.fetch_parameters;
DROP FUNCTION IF EXISTS rx.parse_params;
DROP PROCEDURE IF EXISTS rx.run_function;
DROP FUNCTION IF EXISTS rx.variant_as_text;
DROP PROCEDURE IF EXISTS rx.add_values;
DROP PROCEDURE IF EXISTS rx.get_value;
DROP PROCEDURE IF EXISTS rx.sp_execute_external_script;
DROP TRIGGER IF EXISTS rx.drop_tables;
DROP PROCEDURE IF EXISTS rx.make_table;
DROP PROCEDURE IF EXISTS rx.allow_input;
DROP PROCEDURE IF EXISTS rx.trim_table;
DROP PROCEDURE IF EXISTS rx.open_input;
DROP PROCEDURE IF EXISTS rx.close_input;
DROP PROCEDURE IF EXISTS rx.drop_table;
DROP PROCEDURE IF EXISTS rx.add_output;
DROP PROCEDURE IF EXISTS rx.put_output;
DROP PROCEDURE IF EXISTS rx.select_output_table;
DROP PROCEDURE IF EXISTS rx.select_output;
DROP PROCEDURE IF EXISTS rx.add_input_table;
DROP PROCEDURE IF EXISTS rx.read_table;
DROP PROCEDURE IF EXISTS rx.describe_query;
DROP PROCEDURE IF EXISTS rx.stage_input;
DROP PROCEDURE IF EXISTS rx.column_list;
DROP PROCEDURE IF EXISTS rx.submit_function;
DROP PROCEDURE IF EXISTS rx.store_script;
DROP PROCEDURE IF EXISTS rx.submit_script;
DROP FUNCTION IF EXISTS rx.columns_of;
DROP FUNCTION IF EXISTS rx.type_of;
DROP PROCEDURE IF EXISTS rx.pause;
DROP PROCEDURE IF EXISTS rx.refuse_transaction;
DROP PROCEDURE IF EXISTS rx.look_at_job;
DROP PROCEDURE IF EXISTS rx.wait_for_job;
GO

DROP VIEW IF EXISTS rx.queue_depth;
DROP VIEW IF EXISTS rx.job_progress;
DROP VIEW IF EXISTS rx.crashes;
DROP VIEW IF EXISTS rx.console;
DROP VIEW IF EXISTS rx.tasks;
GO

DECLARE @tables NVARCHAR(MAX) = (
    SELECT STRING_AGG(CONCAT(CONVERT(NVARCHAR(MAX), N'DROP TABLE rx.'), QUOTENAME(name), N';'), N' ')
    FROM sys.tables
    WHERE
        schema_id = SCHEMA_ID('rx')
        AND (name LIKE N'input[_][0-9]%' OR name LIKE N'output[_][0-9]%')
);
EXEC sp_executesql @tables;
GO

DROP TABLE IF EXISTS rx.published;
DROP TABLE IF EXISTS rx.waiters;
DROP TABLE IF EXISTS rx.frames;
DROP TABLE IF EXISTS rx.scripts;
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
DROP ROLE IF EXISTS rx_publisher;
DROP ROLE IF EXISTS rx_caller;
DROP ROLE IF EXISTS rx_scripter;
GO
