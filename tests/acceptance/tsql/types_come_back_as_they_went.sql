-- Every type of a column passes a script without loss, and is the same type afterwards, or the one that holds it.
-- columns: flag bool, tiny int, whole int, big int, exact Decimal, about float, day date, clock time, moment datetime, id str, words str, nothing str
-- rows: [(True, 255, -2147483648, 9223372036854775807, Decimal('123456789012.345678'), 0.1, date(2020, 2, 29), time(3, 4, 5), datetime(2020, 1, 2, 3, 4, 5, 123456), '01234567-89AB-CDEF-0123-456789ABCDEF', "O'Neil 😀", None)]
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'OutputDataSet = InputDataSet.assign(id=InputDataSet.id.str.upper())',
    @input_data_1 = N'
SELECT
    CAST(1 AS BIT) AS flag, CAST(255 AS TINYINT) AS tiny, CAST(-2147483648 AS INT) AS whole,
    CAST(9223372036854775807 AS BIGINT) AS big, CAST(123456789012.345678 AS DECIMAL(18, 6)) AS exact,
    CAST(0.1 AS FLOAT) AS about, CAST(''2020-02-29'' AS DATE) AS day, CAST(''03:04:05'' AS TIME(0)) AS clock,
    CAST(''2020-01-02 03:04:05.123456'' AS DATETIME2(6)) AS moment,
    CAST(''01234567-89AB-CDEF-0123-456789ABCDEF'' AS UNIQUEIDENTIFIER) AS id,
    CAST(N''O''''Neil 😀'' AS NVARCHAR(20)) AS words, CAST(NULL AS NVARCHAR(5)) AS nothing';
