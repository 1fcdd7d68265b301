-- Store a page of a large result; one that is there stays as it is.
INSERT OR IGNORE INTO frames (job_key, direction, task, page, row_count, header, body)
VALUES (:job_key, 'out', :task, :page, :row_count, :header, :body);
