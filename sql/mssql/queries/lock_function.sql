-- Lock a function to remove it.
-- Gives: no row where it is not there, or somebody is just storing or removing a job that has it.
SELECT function_hash
FROM rx.functions WITH (UPDLOCK, ROWLOCK, READPAST)
WHERE function_hash = CAST(:function_hash AS VARCHAR(64));
