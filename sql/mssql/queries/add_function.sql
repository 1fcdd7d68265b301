-- Store a function once; the same bytes are there for all jobs that run them.
INSERT INTO rx.functions (function_hash, body)
SELECT
    CAST(:function_hash AS VARCHAR(64)) AS function_hash,
    CAST(:body AS VARBINARY(MAX)) AS body
WHERE NOT EXISTS (
    SELECT 1
    FROM rx.functions AS known WITH (UPDLOCK, HOLDLOCK)
    WHERE known.function_hash = CAST(:function_hash AS VARCHAR(64))
);
