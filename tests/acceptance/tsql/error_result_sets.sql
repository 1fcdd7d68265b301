-- More columns than WITH RESULT SETS names is the server's error.
-- error: 11536|RESULT SETS|does not match|returned
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'
import pandas
OutputDataSet = pandas.DataFrame({"a": [1], "b": [2]})' WITH RESULT SETS ((a INT));
