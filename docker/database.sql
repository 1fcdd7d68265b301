-- Makes the database of the store, where there is none.

IF DB_ID(N'RxJobs') IS NULL
    CREATE DATABASE [RxJobs];
GO
