-- DATETIME and SMALLDATETIME go in and come back, though a text of theirs may have three digits of a second only.
-- columns: same bool, seen str, back datetime
-- rows: [(True, '2020-03-04 05:06:07.990000', datetime(2021, 1, 2, 3, 4, 5, 120000))]
DECLARE @now DATETIME = '2020-03-04T05:06:07.990', @back SQL_VARIANT, @seen SQL_VARIANT, @same SQL_VARIANT;
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'
import datetime
same = bool(InputDataSet.t[0] == now)
seen = f"{now}"
back = datetime.datetime(2021, 1, 2, 3, 4, 5, 120000)',
    @input_data_1 = N'SELECT @now AS t',
    @params = N'@now DATETIME, @back DATETIME OUTPUT, @seen NVARCHAR(40) OUTPUT, @same BIT OUTPUT',
    @value_1 = @now,
    @value_2 = @back OUTPUT,
    @value_3 = @seen OUTPUT,
    @value_4 = @same OUTPUT;
SELECT CONVERT(BIT, @same) AS same, CONVERT(NVARCHAR(40), @seen) AS seen, CONVERT(DATETIME, @back) AS back;
