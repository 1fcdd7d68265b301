-- Append console lines.
-- Takes: a row's values, once a row.
INSERT INTO console_chunks (job_key, task, run, attempt, stream, first_line, lines, partial)
VALUES (:job_key, :task, :run, :attempt, :stream, :first_line, :lines, :partial);
