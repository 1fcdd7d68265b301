-- The one place that knows SQL Server's types: what a script may have, and how a value is written as text
-- that loses nothing. What comes from a table goes into dynamic SQL only by this list.
-- Returns: a row, or none for a type that has no place in a DataFrame: sql_type (as a column is declared),
-- cell (an expression of the placeholder {0} that JSON can hold), fetched (one that drivers read without
-- loss), json_type (as OPENJSON reads it), back (from json_type to the type: {0} where that is the type).

IF OBJECT_ID('rx.type_of', 'IF') IS NOT NULL DROP FUNCTION rx.type_of;
GO

CREATE FUNCTION rx.type_of(@type NVARCHAR(128), @size INT, @scale INT)
RETURNS TABLE
AS
RETURN
SELECT
    known.sql_type,
    known.cell,
    known.fetched,
    known.json_type,
    CASE
        WHEN known.json_type = known.sql_type THEN N'{0}' ELSE REPLACE(known.back, N'{1}', known.sql_type)
    END AS back
FROM (
    SELECT
        CASE
            WHEN @type IN (N'bit', N'tinyint', N'smallint', N'int', N'bigint', N'real', N'float', N'date')
                THEN @type
            WHEN @type IN (N'money', N'smallmoney', N'datetime', N'smalldatetime', N'uniqueidentifier')
                THEN @type
            WHEN @type IN (N'decimal', N'numeric')
                THEN
                    CONCAT(
                        N'decimal(', CASE WHEN @size BETWEEN 1 AND 38 THEN @size ELSE 38 END, N',',
                        CASE WHEN @scale BETWEEN 0 AND 38 THEN @scale ELSE 0 END, N')'
                    )
            WHEN @type IN (N'time', N'datetime2', N'datetimeoffset')
                THEN CONCAT(@type, N'(', CASE WHEN @scale BETWEEN 0 AND 7 THEN @scale ELSE 7 END, N')')
            WHEN @type IN (N'char', N'varchar', N'nchar', N'nvarchar', N'sysname')
                THEN
                    CONCAT(
                        N'nvarchar(',
                        CASE WHEN @size BETWEEN 1 AND 4000 THEN CONVERT(NVARCHAR(4), @size) ELSE N'max' END,
                        N')'
                    )
            WHEN @type IN (N'text', N'ntext') THEN N'nvarchar(max)'
            WHEN @type = N'xml' THEN N'xml' -- which becomes text by CONVERT only
            WHEN @type IN (N'binary', N'varbinary', N'image', N'timestamp', N'rowversion')
                THEN
                    CONCAT(
                        N'varbinary(',
                        CASE WHEN @size BETWEEN 1 AND 8000 THEN CONVERT(NVARCHAR(4), @size) ELSE N'max' END,
                        N')'
                    )
        END AS sql_type,
        CASE
            WHEN @type IN (N'bit', N'tinyint', N'smallint', N'int', N'bigint') THEN N'{0}'
            WHEN @type IN (N'real', N'float') THEN N'CONVERT(NVARCHAR(40), CONVERT(FLOAT, {0}), 3)'
            WHEN @type IN (N'money', N'smallmoney') THEN N'CONVERT(NVARCHAR(40), {0}, 2)'
            WHEN
                @type IN (
                    N'date', N'time', N'datetime', N'smalldatetime', N'datetime2', N'datetimeoffset'
                )
                THEN N'CONVERT(NVARCHAR(40), {0}, 121)'
            WHEN @type IN (N'binary', N'varbinary', N'image', N'timestamp', N'rowversion')
                THEN N'CONVERT(VARCHAR(MAX), CONVERT(VARBINARY(MAX), {0}), 2)'
            ELSE N'CONVERT(NVARCHAR(MAX), {0})'
        END AS cell,
        CASE
            -- Python has six digits of a second; some drivers know no offset, or have classes of their own.
            WHEN @type = N'datetime2' AND @scale BETWEEN 0 AND 6 THEN N'{0}'
            WHEN @type IN (N'time', N'datetime2', N'datetimeoffset') THEN N'CONVERT(NVARCHAR(40), {0}, 121)'
            WHEN @type IN (N'uniqueidentifier', N'xml') THEN N'CONVERT(NVARCHAR(MAX), {0})'
            ELSE N'{0}'
        END AS fetched,
        CASE
            WHEN @type IN (N'bit', N'tinyint', N'smallint', N'int', N'bigint') THEN @type
            WHEN @type IN (N'real', N'float') THEN N'float'
            ELSE N'nvarchar(max)'
        END AS json_type,
        CASE
            WHEN @type IN (N'binary', N'varbinary', N'image', N'timestamp', N'rowversion')
                THEN N'CONVERT(VARBINARY(MAX), {0}, 2)'
            WHEN @type IN (N'real', N'float') THEN N'CONVERT(FLOAT, {0})'
            ELSE N'CONVERT({1}, {0})'
        END AS back
) AS known
WHERE known.sql_type IS NOT NULL;
GO

IF OBJECT_ID('rx.columns_of', 'IF') IS NOT NULL DROP FUNCTION rx.columns_of;
GO

-- The columns of a header, an array of [name, type, size, scale], with what rx.type_of knows of them.
-- Returns: a row a column whose type it knows; place is its place in the array.
CREATE FUNCTION rx.columns_of(@header NVARCHAR(MAX))
RETURNS TABLE
AS
RETURN
SELECT
    CONVERT(INT, entry.[key]) AS place,
    part.name,
    part.type_name,
    part.size,
    part.scale,
    types.sql_type,
    types.cell,
    types.fetched,
    types.json_type,
    types.back
FROM OPENJSON(@header) AS entry
CROSS APPLY
    OPENJSON (CONCAT(N'[', entry.value, N']')) WITH (
        name NVARCHAR(128) '$[0]', type_name NVARCHAR(128) '$[1]', size INT '$[2]', scale INT '$[3]'
    ) AS part
CROSS APPLY rx.type_of(part.type_name, part.size, part.scale) AS types;
GO
