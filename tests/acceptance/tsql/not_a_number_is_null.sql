-- NaN and infinity are NULL.
-- columns: x float
-- rows: [(None,), (None,), (1.5,)]
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'
import pandas
OutputDataSet = pandas.DataFrame({"x": [float("nan"), float("inf"), 1.5]})';
