-- Write down how many children this worker may run for the job.
INSERT INTO rx.slots (job_key, worker_key, slots) VALUES (:job_key, :worker_key, :slots)
ON CONFLICT (job_key, worker_key) DO UPDATE SET slots = excluded.slots;
