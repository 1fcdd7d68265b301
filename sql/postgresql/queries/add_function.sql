-- Store a function once; the same bytes are there for all jobs that run them. Who stores a job holds the row
-- until the job is there, too, so that nobody removes the function meanwhile; any number may hold it.
-- Gives: the hash; no row where others removed or stored the function meanwhile: it is to be sent again.
WITH added AS (
    INSERT INTO rx.functions (function_hash, body) VALUES (:function_hash, :body)
    ON CONFLICT (function_hash) DO NOTHING
    RETURNING function_hash
),

held AS (
    SELECT function_hash FROM rx.functions
    WHERE function_hash = :function_hash
    FOR KEY SHARE
)

SELECT function_hash FROM added
UNION ALL
SELECT function_hash FROM held;
