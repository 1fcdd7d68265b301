-- Where Babelfish lacks what SQL Server has, the small procedures that need it are put in other words: WAITFOR,
-- sys.dm_exec_describe_first_result_set, and what THROW does with percent signs. All else is run as it is.

ALTER PROCEDURE rx.fail
    @number INT,
    @problem NVARCHAR(2048)
AS
BEGIN
    THROW @number, @problem, 1;
END;
GO

ALTER PROCEDURE rx.pause
    @milliseconds INT
AS
BEGIN
    DECLARE @slept INT;
    SELECT @slept = COUNT(*) FROM (SELECT pg_catalog.pg_sleep(0.05) AS void) AS sleep;
END;
GO

ALTER PROCEDURE rx.describe_query
    @query NVARCHAR(MAX),
    @params NVARCHAR(MAX),
    @declared NVARCHAR(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @name NVARCHAR(128), @declaration NVARCHAR(256), @ordinal INT = 1;
    WHILE @ordinal <= (SELECT COUNT(*) FROM rx.parse_params(@params))
    BEGIN
        SELECT
            @name = name,
            @declaration = declaration
        FROM rx.parse_params(@params)
        WHERE ordinal = @ordinal;
        SET @query = REPLACE(@query, N'@' + @name, N'CAST(NULL AS ' + @declaration + N')');
        SET @ordinal = @ordinal + 1;
    END;
    SET @query = N'CREATE VIEW rx.rx_shape AS ' + @query;
    EXEC (@query);
    INSERT INTO #rx_columns (place, name, type_name, size, scale)
    SELECT
        shape.column_id - 1 AS place,
        shape.name,
        types.name AS type_name,
        CASE
            WHEN types.name IN (N'decimal', N'numeric') THEN shape.precision
            WHEN types.name IN (N'nchar', N'nvarchar') AND shape.max_length > 0 THEN shape.max_length / 2
            ELSE shape.max_length
        END AS size,
        -- That of an expression is not known there, and shown as the largest.
        CASE WHEN types.name = N'decimal' AND shape.scale = 38 THEN 10 ELSE shape.scale END AS scale
    FROM sys.columns AS shape
    INNER JOIN sys.types AS types ON shape.user_type_id = types.user_type_id
    WHERE shape.object_id = OBJECT_ID('rx.rx_shape');
    DROP VIEW rx.rx_shape;
END;
GO
