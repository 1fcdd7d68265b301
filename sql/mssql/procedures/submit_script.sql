-- Submit a script as a job: its input is what the caller's query returns, read with the caller's rights. A
-- worker starts it once the transaction, if there is one, is committed. The parameters are those of
-- rx.sp_execute_external_script.
-- Returns: @job_id.

IF OBJECT_ID('rx.submit_script', 'P') IS NOT NULL DROP PROCEDURE rx.submit_script;
GO

CREATE PROCEDURE rx.submit_script
    @language NVARCHAR(128) = N'Python',
    @script NVARCHAR(MAX) = NULL,
    @input_data_1 NVARCHAR(MAX) = NULL,
    @input_data_1_name NVARCHAR(128) = N'InputDataSet',
    @input_data_1_order_by_columns NVARCHAR(MAX) = NULL,
    @input_data_1_partition_by_columns NVARCHAR(MAX) = NULL,
    @output_data_1_name NVARCHAR(128) = N'OutputDataSet',
    @parallel BIT = 0,
    @params NVARCHAR(MAX) = NULL,
    @param_values NVARCHAR(MAX) = NULL,
    @r_rowsPerRead INT = NULL,
    @num_tasks INT = 1,
    @job_id NVARCHAR(128) = NULL OUTPUT,
    @is_waiting BIT = 0
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    DECLARE @problem NVARCHAR(2000);
    DECLARE @query NVARCHAR(MAX) = LTRIM(RTRIM(ISNULL(@input_data_1, N'')));
    WHILE @query <> N'' AND LEFT(@query, 1) IN (N' ', NCHAR(10), NCHAR(13), NCHAR(9))
        SET @query = STUFF(@query, 1, 1, N'');
    WHILE @query <> N'' AND RIGHT(@query, 1) IN (N';', N' ', NCHAR(10), NCHAR(13), NCHAR(9))
        SET @query = LEFT(@query, LEN(CONCAT(@query, N'|')) - 2);

    IF ISNULL(@language, N'') <> N'Python'
        SET @problem = CONCAT(N'@language must be N''Python'', and is ', ISNULL(@language, N'NULL'), N'.');
    IF @script IS NULL
        SET @problem = N'@script is NULL: give the text of a script.';
    IF @num_tasks < 0
        SET @problem = CONCAT(
            N'@num_tasks is the most children at once, 0 for no limit; it cannot be ', @num_tasks, N'.'
        );
    IF @param_values IS NOT NULL AND ISJSON(@param_values) = 0
        SET
            @problem
            = N'@param_values must be a JSON object with a value a parameter, such as N''{"k": 2}''.';
    IF @problem IS NOT NULL EXEC rx.fail 51006, @problem;

    CREATE TABLE #rx_params (
        ordinal INT NOT NULL,
        name NVARCHAR(128) NOT NULL,
        declaration NVARCHAR(256) NOT NULL,
        is_output BIT NOT NULL,
        is_binary BIT NOT NULL, cell NVARCHAR(MAX) NULL
    );
    CREATE TABLE #rx_pages (
        task INT NOT NULL, page INT NOT NULL, row_count INT NOT NULL, body NVARCHAR(MAX) NULL
    );
    CREATE TABLE #rx_script (
        language NVARCHAR(128) NOT NULL,
        script NVARCHAR(MAX) NOT NULL,
        input_name NVARCHAR(128) NULL,
        output_name NVARCHAR(128) NULL,
        header NVARCHAR(MAX) NOT NULL,
        num_tasks INT NULL,
        is_waiting BIT NULL,
        job_id NVARCHAR(128) NULL,
        job_key BIGINT NULL
    );
    INSERT INTO #rx_script (
        language, script, input_name, output_name, header, num_tasks, is_waiting, job_id
    )
    VALUES (
        @language, @script, @input_data_1_name, @output_data_1_name, N'[]', @num_tasks, @is_waiting, @job_id
    );
    INSERT INTO #rx_params (ordinal, name, declaration, is_output, is_binary, cell)
    SELECT
        declared.ordinal,
        declared.name,
        declared.declaration,
        declared.is_output,
        CASE WHEN declared.declaration LIKE N'%binary%' THEN 1 ELSE 0 END AS is_binary,
        CASE
            WHEN
                declared.declaration LIKE N'%binary%' AND given.value LIKE N'0x%'
                THEN SUBSTRING(given.value, 3, LEN(given.value))
            ELSE given.value
        END AS cell
    FROM rx.parse_params(@params) AS declared
    LEFT JOIN OPENJSON(ISNULL(@param_values, N'{}')) AS given
        ON declared.name = REPLACE(given.[key], N'@', N'');
    SET @problem = (
        SELECT TOP (1) CONCAT(N'@param_values names "', given.[key], N'", and @params does not declare it.')
        FROM OPENJSON(ISNULL(@param_values, N'{}')) AS given
        WHERE
            NOT EXISTS (SELECT 1 FROM #rx_params AS known WHERE known.name = REPLACE(given.[key], N'@', N''))
    );
    IF @problem IS NOT NULL EXEC rx.fail 51006, @problem;

    IF @query <> N''
        EXEC rx.stage_input
            @query = @query,
            @params = @params,
            @param_values = @param_values,
            @order_by = @input_data_1_order_by_columns,
            @partition_by = @input_data_1_partition_by_columns;
    IF NOT EXISTS (SELECT 1 FROM #rx_pages)
        INSERT INTO #rx_pages (task, page, row_count, body) VALUES (0, 0, 0, N'[]');
    IF EXISTS (SELECT 1 FROM #rx_script WHERE job_key IS NULL) EXEC rx.store_script;
    SET @job_id = (SELECT job_id FROM #rx_script);
END;
GO
