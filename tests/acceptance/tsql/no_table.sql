-- A script that leaves no table, or one without columns, has no result set; a blank query is no query.
-- columns: done int
-- rows: [(1,)]
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'', @input_data_1 = N' ;';
SELECT 1 AS done;
