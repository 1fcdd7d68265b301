-- Each type of parameter is a Python value that loses nothing.
-- columns: seen str
-- rows: [("[1, 9223372036854775807, Decimal('1.50'), 0.1, True, 'word', None, '2020-01-02 03:04:05.123456']",)]
DECLARE
    @big BIGINT = 9223372036854775807,
    @exact DECIMAL(10, 2) = 1.5,
    @about FLOAT = 0.1,
    @flag BIT = 1,
    @moment DATETIME2(6) = '2020-01-02 03:04:05.123456';
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'
import pandas
OutputDataSet = pandas.DataFrame({"seen": [repr([a, b, c, d, e, f, g, str(h)])]})',
    @params = N'@a INT, @b BIGINT, @c DECIMAL(10, 2), @d FLOAT, @e BIT, @f NVARCHAR(10), @g INT, @h DATETIME2(6)',
    @value_1 = 1,
    @value_2 = @big,
    @value_3 = @exact,
    @value_4 = @about,
    @value_5 = @flag,
    @value_6 = N'word',
    @value_8 = @moment;
