-- Makes the logins of the worker and of the client, and gives each one role of schema rx and the password that
-- its secret has now. For sqlcmd, which takes $(...) from the environment.

IF SUSER_ID(N'rxsql_worker') IS NULL
    CREATE LOGIN rxsql_worker WITH PASSWORD = N'$(WORKER_PASSWORD)';
IF SUSER_ID(N'rxsql_client') IS NULL
    CREATE LOGIN rxsql_client WITH PASSWORD = N'$(CLIENT_PASSWORD)';
GO

ALTER LOGIN rxsql_worker WITH PASSWORD = N'$(WORKER_PASSWORD)';
ALTER LOGIN rxsql_client WITH PASSWORD = N'$(CLIENT_PASSWORD)';
GO

IF DATABASE_PRINCIPAL_ID(N'rxsql_worker') IS NULL
    CREATE USER rxsql_worker FOR LOGIN rxsql_worker;
IF DATABASE_PRINCIPAL_ID(N'rxsql_client') IS NULL
    CREATE USER rxsql_client FOR LOGIN rxsql_client;
GO

ALTER ROLE rx_worker ADD MEMBER rxsql_worker;
ALTER ROLE rx_client ADD MEMBER rxsql_client;
GO
