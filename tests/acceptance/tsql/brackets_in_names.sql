-- A bracket in a name does no harm.
-- skip on Babelfish: reads a doubled bracket in a name otherwise
-- columns: a]; DROP TABLE x; -- int
-- rows: [(1,)]
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'
import pandas
OutputDataSet = pandas.DataFrame({"a]; DROP TABLE x; --": [1]})';
