-- Rows of an input that stands in a table of its own, from one page to another, in their order.
-- Returns: task, page, and the columns.
EXEC rx.read_input
    @job_key = :job_key,
    @first_task = :first_task,
    @first_page = :first_page,
    @last_task = :last_task,
    @last_page = :last_page;
