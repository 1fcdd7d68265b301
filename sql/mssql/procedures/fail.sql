-- End with an error of this number and text. THROW takes a percent sign for the beginning of a format, and
-- texts have some of their own: those of scripts and of queries.

IF OBJECT_ID('rx.fail', 'P') IS NOT NULL DROP PROCEDURE rx.fail;
GO

CREATE PROCEDURE rx.fail
    @number INT,
    @problem NVARCHAR(2048)
AS
BEGIN
    SET @problem = REPLACE(@problem, N'%', N'%%');
    THROW @number, @problem, 1;
END;
GO
