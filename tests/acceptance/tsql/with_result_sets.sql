-- WITH RESULT SETS gives the rows other names and types.
-- skip on Babelfish: ignores WITH RESULT SETS
-- columns: id int, amount Decimal
-- rows: [(1, Decimal('0.50'))]
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'
import pandas
OutputDataSet = pandas.DataFrame({"a": [1], "b": [0.5]})'
WITH RESULT SETS ((id BIGINT, amount DECIMAL(10, 2)));
