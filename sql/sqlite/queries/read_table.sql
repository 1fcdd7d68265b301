-- Rows of an input or result that stand in a table of their own: there are none here.
-- Returns: task, page, and the columns.
SELECT
    task,
    page
FROM frames
WHERE job_key = :job_key AND row_count < 0;
