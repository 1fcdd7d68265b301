-- Let one at a time change the schema: the script takes a lock of its session itself.
SELECT 1 AS locked;
