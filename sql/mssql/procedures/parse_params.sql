-- Split a declaration of parameters, such as N'@a INT, @b DECIMAL(10, 2) OUTPUT', at its commas.
-- Returns: a row a parameter: ordinal, name (without @), declaration (its type), is_output.

IF OBJECT_ID('rx.parse_params', 'TF') IS NOT NULL DROP FUNCTION rx.parse_params;
GO

CREATE FUNCTION rx.parse_params(@params NVARCHAR(MAX))
RETURNS @found TABLE (
    ordinal INT NOT NULL,
    name NVARCHAR(128) NOT NULL,
    declaration NVARCHAR(256) NOT NULL,
    is_output BIT NOT NULL
)
AS
BEGIN
    DECLARE @text NVARCHAR(MAX) = CONCAT(
        REPLACE(REPLACE(REPLACE(ISNULL(@params, N''), NCHAR(13), N' '), NCHAR(10), N' '), NCHAR(9), N' '),
        N','
    );
    DECLARE @at INT = 1, @from INT = 1, @depth INT = 0, @ordinal INT = 0, @blank INT, @output BIT;
    DECLARE @sign NCHAR(1), @one NVARCHAR(512), @name NVARCHAR(512);
    WHILE @at <= LEN(@text)
        BEGIN
            SET @sign = SUBSTRING(@text, @at, 1);
            IF @sign = N'(' SET @depth = @depth + 1;
            IF @sign = N')' SET @depth = @depth - 1;
            IF @sign = N',' AND @depth = 0
                BEGIN
                    SET @one = LTRIM(RTRIM(SUBSTRING(@text, @from, @at - @from)));
                    SET @from = @at + 1;
                    SET @output = 0;
                    IF UPPER(@one) LIKE N'% OUTPUT' OR UPPER(@one) LIKE N'% OUT'
                        BEGIN
                            SET @output = 1;
                            SET @one = RTRIM(LEFT(@one, LEN(@one) - CHARINDEX(N' ', REVERSE(@one))));
                        END;
                    SET @blank = CHARINDEX(N' ', @one);
                    IF @blank > 0
                        BEGIN
                            SET @ordinal = @ordinal + 1;
                            SET @name = REPLACE(LEFT(@one, @blank - 1), N'@', N'');
                            SET @one = LTRIM(SUBSTRING(@one, @blank, 512));
                            IF UPPER(@one) LIKE N'AS %' SET @one = LTRIM(SUBSTRING(@one, 4, 512));
                            INSERT INTO @found (ordinal, name, declaration, is_output)
                            VALUES (@ordinal, @name, @one, @output);
                        END;
                END;
            SET @at = @at + 1;
        END;
    RETURN;
END;
GO
