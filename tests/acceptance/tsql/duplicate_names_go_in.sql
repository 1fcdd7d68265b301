-- Duplicate names, and columns without a name, go in as they are; a query may begin with WITH.
-- skip on Babelfish: refuses such names in what describes a query
-- columns: names str
-- rows: [("['a', 'a', '']",)]
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'
import pandas
OutputDataSet = pandas.DataFrame({"names": [str(list(InputDataSet.columns))]})',
    @input_data_1 = N'WITH given AS (SELECT 1 AS x) SELECT x AS a, x AS a, x + 1 FROM given';
