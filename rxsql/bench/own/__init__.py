"""The figures that are rxsql's own: console, submission, backlog, memory, idleness, starts, statements."""
