-- Write down what runs ended with; a run that has its result keeps it.
-- Takes: a row's values, once a row.
INSERT OR IGNORE INTO results (job_key, run, body, error, traceback)
VALUES (:job_key, :run, :body, :error, :traceback);
