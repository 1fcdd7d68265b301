-- Write down what runs ended with; a run that has its result keeps it.
INSERT INTO rx.results (job_key, run, body, error, traceback)
VALUES (:job_key, :run, :body, :error, :traceback)
ON CONFLICT (job_key, run) DO NOTHING;
