-- A published function is not waited for in a transaction either.
-- error: 51001 rx.submit_function, COMMIT, EXEC rx.wait_for_job
BEGIN TRANSACTION;
EXEC rx.run_function N'nothing';
