-- Duplicate and odd names of columns come back as they are.
-- columns: a int, a int, odd.name, ü str
-- rows: [(1, 2, 'x')]
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'
import pandas
OutputDataSet = pandas.DataFrame([[1, 2, "x"]], columns=["a", "a", "odd.name, ü"])';
