-- Store a function once; the same bytes are there for all jobs that run them. The lock, which any number may
-- have at once, keeps it from being removed until the job is stored, too; 1920 stands for rxsql.
INSERT INTO rx.functions (function_hash, body)
SELECT
    CAST(:function_hash AS VARCHAR(64)) AS function_hash,
    CAST(:body AS BYTEA) AS body
FROM PG_ADVISORY_XACT_LOCK_SHARED(1920, HASHTEXT(:function_hash))
ON CONFLICT (function_hash) DO NOTHING;
