-- Lock a function to remove it; no row where it is not there, or somebody just stores or removes a job that has it.
SELECT function_hash FROM rx.functions
WHERE function_hash = :function_hash
FOR UPDATE SKIP LOCKED;
