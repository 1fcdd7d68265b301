-- Rows of an input or result that stand in a table of their own, from one page to another, in their order.
-- Returns: task, page, the columns, and of a result the row's number.
EXEC rx.read_table
    @job_key = :job_key,
    @direction = :direction,
    @first_task = :first_task,
    @first_page = :first_page,
    @last_task = :last_task,
    @last_page = :last_page;
