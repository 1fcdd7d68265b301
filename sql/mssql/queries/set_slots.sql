-- Write down how many children this worker may run for the job, which is locked.
IF
    EXISTS (
        SELECT 1
        FROM rx.slots
        WHERE job_key = CAST(:job_key AS BIGINT) AND worker_key = CAST(:worker_key AS BIGINT)
    )
    UPDATE rx.slots
    SET slots = :slots
    WHERE job_key = CAST(:job_key AS BIGINT) AND worker_key = CAST(:worker_key AS BIGINT)
ELSE
    INSERT INTO rx.slots (job_key, worker_key, slots) VALUES (:job_key, :worker_key, :slots);
