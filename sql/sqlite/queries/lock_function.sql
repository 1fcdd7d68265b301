-- Lock a function to remove it. In SQLite the transaction has the file's lock.
SELECT :function_hash;
