-- Run a script and wait for it: SQL Server's own sp_execute_external_script, on rxsql's workers. The query
-- is run by the caller; what the script prints arrives as messages while it runs; what it leaves in its
-- output variable is the result set, also under WITH RESULT SETS; an error is a SQL error with the
-- traceback.
--
-- The one difference in the call: a procedure cannot have parameters that its caller makes up. The values of
-- what @params declares are given and returned in the order of the declaration, as @value_1 to @value_8 (as
-- SQL_VARIANT, without loss), or by name in the JSON object @param_values, which has no limits.

IF OBJECT_ID('rx.variant_as_text', 'FN') IS NOT NULL DROP FUNCTION rx.variant_as_text;
GO

-- A value as text that loses nothing.
CREATE FUNCTION rx.variant_as_text(@value SQL_VARIANT) RETURNS NVARCHAR(MAX)
AS
BEGIN
    DECLARE @type NVARCHAR(128) = CONVERT(NVARCHAR(128), SQL_VARIANT_PROPERTY(@value, 'BaseType'));
    IF @type IN (N'real', N'float') RETURN LTRIM(RTRIM(CONVERT(NVARCHAR(40), CONVERT(FLOAT, @value), 3)));
    IF @type IN (N'date', N'datetime', N'smalldatetime', N'datetime2')
        RETURN CONVERT(NVARCHAR(40), CONVERT(DATETIME2(7), @value), 121);
    IF @type = N'datetimeoffset' RETURN CONVERT(NVARCHAR(40), CONVERT(DATETIMEOFFSET(7), @value), 121);
    IF @type = N'time' RETURN CONVERT(NVARCHAR(40), CONVERT(TIME(7), @value), 121);
    IF @type IN (N'money', N'smallmoney') RETURN CONVERT(NVARCHAR(40), CONVERT(MONEY, @value), 2);
    IF @type IN (N'binary', N'varbinary')
        RETURN CONVERT(NVARCHAR(MAX), CONVERT(VARCHAR(MAX), CONVERT(VARBINARY(8000), @value), 2));
    RETURN CONVERT(NVARCHAR(4000), @value);
END;
GO

IF OBJECT_ID('rx.add_values', 'P') IS NOT NULL DROP PROCEDURE rx.add_values;
GO

-- Put the values that were given by place to those that were given by name.
CREATE PROCEDURE rx.add_values
    @params NVARCHAR(MAX),
    @values NVARCHAR(MAX),
    @param_values NVARCHAR(MAX) OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @problem NVARCHAR(400), @count INT = (SELECT COUNT(*) FROM rx.parse_params(@params));
    SET @problem = (
        SELECT
            MIN(
                CONCAT(N'@value_', given.[key], N' was given, and @params declares ', @count, N' parameters.')
            )
        FROM OPENJSON(@values) AS given
        WHERE CONVERT(INT, given.[key]) > @count
    );
    IF @problem IS NOT NULL EXEC rx.fail 51006, @problem;
    DECLARE @entries NVARCHAR(MAX) = (
        SELECT
            STRING_AGG(
                CONCAT(
                    CONVERT(NVARCHAR(MAX), N'"'), STRING_ESCAPE(declared.name, 'json'), N'": "',
                    STRING_ESCAPE(given.value, 'json'), N'"'
                ), N', '
            )
        FROM rx.parse_params(@params) AS declared
        INNER JOIN OPENJSON(@values) AS given ON declared.ordinal = CONVERT(INT, given.[key])
        WHERE ISNULL(@param_values, N'{}') NOT LIKE CONCAT(N'%"', declared.name, N'"%')
    );
    IF @entries IS NULL RETURN;
    DECLARE @known NVARCHAR(MAX) = LTRIM(RTRIM(ISNULL(@param_values, N'{}')));
    SET @param_values = CONCAT(
        N'{',
        @entries,
        CASE WHEN EXISTS (SELECT 1 FROM OPENJSON(@known)) THEN N', ' END,
        SUBSTRING(@known, 2, LEN(@known))
    );
END;
GO

IF OBJECT_ID('rx.get_value', 'P') IS NOT NULL DROP PROCEDURE rx.get_value;
GO

-- An OUTPUT parameter, in the type it was declared with; what is not OUTPUT stays as it is.
CREATE PROCEDURE rx.get_value
    @params NVARCHAR(MAX),
    @param_values NVARCHAR(MAX),
    @ordinal INT,
    @value SQL_VARIANT OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @batch NVARCHAR(MAX), @cell NVARCHAR(MAX), @declaration NVARCHAR(256);
    SELECT
        @declaration = declared.declaration,
        @cell = given.value
    FROM rx.parse_params(@params) AS declared
    LEFT JOIN OPENJSON(ISNULL(@param_values, N'{}')) AS given ON declared.name = given.[key]
    WHERE declared.ordinal = @ordinal AND declared.is_output = 1;
    IF @declaration IS NULL RETURN;
    -- A value of a (max) type has no place in a SQL_VARIANT beyond 8,000 bytes; @param_values has it whole.
    IF @declaration LIKE N'%(%max%)%' OR @declaration LIKE N'%text'
        SET
            @declaration
            = CASE WHEN @declaration LIKE N'%binary%' THEN N'VARBINARY(8000)' ELSE N'NVARCHAR(4000)' END;
    SET @batch = CONCAT(
        N'SET @value = CONVERT(',
        @declaration,
        CASE
            WHEN @declaration LIKE N'%binary%' THEN N', @cell, 2'
            -- The older types take no more than three digits of a second from a text.
            WHEN UPPER(@declaration) IN (N'DATETIME', N'SMALLDATETIME')
                THEN N', CONVERT(DATETIME2(7), @cell)'
            ELSE N', @cell'
        END,
        N')'
    );
    EXEC sp_executesql
        @batch, N'@cell NVARCHAR(MAX), @value SQL_VARIANT OUTPUT', @cell = @cell, @value = @value OUTPUT;
END;
GO

IF OBJECT_ID('rx.sp_execute_external_script', 'P') IS NOT NULL DROP PROCEDURE rx.sp_execute_external_script;
GO

CREATE PROCEDURE rx.sp_execute_external_script -- noqa: TQ01
    @language NVARCHAR(128),
    @script NVARCHAR(MAX),
    @input_data_1 NVARCHAR(MAX) = NULL,
    @input_data_1_name NVARCHAR(128) = N'InputDataSet',
    @input_data_1_order_by_columns NVARCHAR(MAX) = NULL,
    @input_data_1_partition_by_columns NVARCHAR(MAX) = NULL,
    @output_data_1_name NVARCHAR(128) = N'OutputDataSet',
    @parallel BIT = 0,
    @params NVARCHAR(MAX) = NULL,
    @param_values NVARCHAR(MAX) = NULL OUTPUT,
    @r_rowsPerRead INT = NULL,
    @value_1 SQL_VARIANT = NULL OUTPUT,
    @value_2 SQL_VARIANT = NULL OUTPUT,
    @value_3 SQL_VARIANT = NULL OUTPUT,
    @value_4 SQL_VARIANT = NULL OUTPUT,
    @value_5 SQL_VARIANT = NULL OUTPUT,
    @value_6 SQL_VARIANT = NULL OUTPUT,
    @value_7 SQL_VARIANT = NULL OUTPUT,
    @value_8 SQL_VARIANT = NULL OUTPUT,
    @num_tasks INT = NULL
AS
BEGIN
    DECLARE @trancount INT = @@TRANCOUNT;
    SET NOCOUNT ON;
    EXEC rx.refuse_transaction N'rx.sp_execute_external_script', N'rx.submit_script', @trancount;
    SET IMPLICIT_TRANSACTIONS OFF;
    DECLARE
        @job_id NVARCHAR(128),
        @children INT = COALESCE(@num_tasks, CASE WHEN @parallel = 1 THEN 0 ELSE 1 END);
    DECLARE @values NVARCHAR(MAX) = N'{';
    -- One column a statement: each value keeps its own type.
    SELECT
        @values = CONCAT(
            @values,
            STRING_AGG(
                CONCAT(
                    N'"', given.ordinal, N'": "', STRING_ESCAPE(rx.variant_as_text(given.value), 'json'), N'"'
                ),
                N', '
            ),
            N'}'
        )
    FROM (
        VALUES
        (1, @value_1), (2, @value_2), (3, @value_3), (4, @value_4),
        (5, @value_5), (6, @value_6), (7, @value_7), (8, @value_8)
    ) AS given(ordinal, value)
    WHERE given.value IS NOT NULL;
    EXEC rx.add_values @params, @values, @param_values OUTPUT;
    EXEC rx.submit_script
        @language = @language,
        @script = @script,
        @input_data_1 = @input_data_1,
        @input_data_1_name = @input_data_1_name,
        @input_data_1_order_by_columns = @input_data_1_order_by_columns,
        @input_data_1_partition_by_columns = @input_data_1_partition_by_columns,
        @output_data_1_name = @output_data_1_name,
        @parallel = @parallel,
        @params = @params,
        @param_values = @param_values,
        @r_rowsPerRead = @r_rowsPerRead,
        @num_tasks = @children,
        @job_id = @job_id OUTPUT,
        @is_waiting = 1;
    EXEC rx.wait_for_job @job_id;
    EXEC rx.fetch_parameters @job_id, @param_values OUTPUT;
    EXEC rx.get_value @params, @param_values, 1, @value_1 OUTPUT;
    EXEC rx.get_value @params, @param_values, 2, @value_2 OUTPUT;
    EXEC rx.get_value @params, @param_values, 3, @value_3 OUTPUT;
    EXEC rx.get_value @params, @param_values, 4, @value_4 OUTPUT;
    EXEC rx.get_value @params, @param_values, 5, @value_5 OUTPUT;
    EXEC rx.get_value @params, @param_values, 6, @value_6 OUTPUT;
    EXEC rx.get_value @params, @param_values, 7, @value_7 OUTPUT;
    EXEC rx.get_value @params, @param_values, 8, @value_8 OUTPUT;
    EXEC rx.fetch_result @job_id;
    EXEC rx.cleanup_job @job_id;
END;
GO
