"""Scripts and published functions with tables in and out: what SQL can submit, and a child can run.

A script job is an ordinary job (a row in `jobs`, one run a task) whose code is text. What it needs stands in two
write-once tables, so that plain SQL can submit it, and nothing that came from SQL is unpickled:

    scripts  one row a job: language, script, the names of its data sets, and its parameters as JSON
    frames   tables as pages of JSON: `in` before the run; `out` and `param` (one row: the OUTPUT parameters) after it

    SELECT … ──▶ frames (in) ──▶ poller ── bytes ──▶ child: DataFrame ─▶ script ─▶ DataFrame ── bytes ──▶ frames (out)

A page is a JSON array of rows, a row an array of cells, or, from SQL Server, an object with the column number as key.
In `out` a row ends with its number in the table: T-SQL knows no other order of an array that it reads at once. A page's
header is an array of [name, type, length or precision, scale]. Cells that JSON numbers would spoil are text: decimal,
times (ISO 8601) and binary (hexadecimal). NULL, NaN and infinity are null.

An input from T-SQL of more than one page stands in a table of its own columns, rx.input_<job_key>; its pages in
`frames` have no body, and the poller makes it of the table's rows.

Supervisor and store move pages as text, a few at a time. Only child and client make DataFrames of them, with pandas.
"""
