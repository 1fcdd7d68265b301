-- Values are also given by name, as a JSON object.
-- columns: x int, y str
-- rows: [(3, 'ü😀')]
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'
import pandas
OutputDataSet = pandas.DataFrame({"x": [x], "y": [y]})',
    @params = N'@x INT, @y NVARCHAR(10)',
    @param_values = N'{"x": 3, "@y": "ü😀"}';
