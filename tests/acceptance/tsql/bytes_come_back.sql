-- Bytes of a script are VARBINARY in the result.
-- columns: b bytes
-- rows: [(b'\x00\xff',), (None,)]
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'
import pandas
OutputDataSet = pandas.DataFrame({"b": [bytes([0, 255]), None]})';
