-- Waiting in a transaction fails at once, whatever the job.
-- error: 51001 rx.wait_for_job was called in an open transaction
BEGIN TRANSACTION;
EXEC rx.wait_for_job N'any';
