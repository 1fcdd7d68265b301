-- Store a function once; the same bytes are there for all jobs that run them.
INSERT OR IGNORE INTO functions (function_hash, body) VALUES (:function_hash, :body);
