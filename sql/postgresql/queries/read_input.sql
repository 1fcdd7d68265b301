-- Rows of an input that stands in a table of its own: there is none here.
-- Returns: task, page, and the columns.
SELECT
    task,
    page
FROM rx.frames
WHERE job_key = :job_key AND row_count < 0;
