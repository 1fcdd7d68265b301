-- Write down what runs ended with; a run that has its result keeps it.
INSERT OR IGNORE INTO results (job_key, run, body, error, traceback)
VALUES (:job_key, :run, :body, :error, :traceback);
