-- More columns than WITH RESULT SETS names is the server's error.
-- skip on Babelfish: ignores WITH RESULT SETS
-- error: RESULT SETS clause
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'
import pandas
OutputDataSet = pandas.DataFrame({"a": [1], "b": [2]})' WITH RESULT SETS ((a INT));
