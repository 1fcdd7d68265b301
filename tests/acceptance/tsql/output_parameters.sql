-- OUTPUT parameters come back by place and by name; what is no OUTPUT stays; the query sees parameters too.
-- columns: total float, word str, k int, by_name str
-- rows: [(42.0, 'ok', 4, '{"total": 42.0, "word": "ok"}')]
DECLARE @total SQL_VARIANT, @word SQL_VARIANT, @k SQL_VARIANT = 4, @by_name NVARCHAR(MAX);
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'
total = float(InputDataSet.x[0]) * 10.5
word = "ok"',
    @input_data_1 = N'SELECT @k AS x',
    @params = N'@k INT, @total FLOAT OUTPUT, @word NVARCHAR(20) OUTPUT',
    @value_1 = @k,
    @value_2 = @total OUTPUT,
    @value_3 = @word OUTPUT,
    @param_values = @by_name OUTPUT;
SELECT
    CONVERT(FLOAT, @total) AS total,
    CONVERT(NVARCHAR(20), @word) AS word,
    CONVERT(INT, @k) AS k,
    @by_name AS by_name;
