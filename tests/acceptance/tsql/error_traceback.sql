-- An error is a SQL error with the traceback.
-- error: 51003 File "<script>", line 2, in f
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'def f():
    1 / 0
f()';
