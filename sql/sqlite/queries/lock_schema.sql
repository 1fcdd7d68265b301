-- Let one at a time change the schema. In SQLite the write transaction is that lock.
SELECT 1;
