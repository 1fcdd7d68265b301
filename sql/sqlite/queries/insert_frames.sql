-- Store pages of tables; a page that is there stays as it is.
-- Takes: a row's values, once a row.
INSERT OR IGNORE INTO frames (job_key, direction, task, page, row_count, header, body)
VALUES (:job_key, :direction, :task, :page, :row_count, :header, :body);
