-- Take the lock by which a function may be removed. In SQLite it is not asked for: who writes is alone.
SELECT :function_hash AS held;
