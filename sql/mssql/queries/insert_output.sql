-- Store a page of a large result; one that is there stays as it is. Where SQL submitted the job, its rows
-- stand in a table of their own.
EXEC rx.add_output
    @job_key = :job_key,
    @task = :task,
    @page = :page,
    @row_count = :row_count,
    @header = :header,
    @body = :body;
