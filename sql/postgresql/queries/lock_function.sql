-- Take the lock by which a function may be removed.
-- Gives: no row where somebody is just storing or removing a job that has it.
SELECT 1920 AS held WHERE PG_TRY_ADVISORY_XACT_LOCK(1920, HASHTEXT(:function_hash));
