-- Store a function once; the same bytes are there for all jobs that run them.
INSERT INTO rx.functions (function_hash, body) VALUES (:function_hash, :body)
ON CONFLICT (function_hash) DO NOTHING;
