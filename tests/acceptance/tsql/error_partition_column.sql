-- A partition column that the query does not have is named.
-- error: 51006 @input_data_1_partition_by_columns: the input query has no column "b"
EXEC rx.sp_execute_external_script @language = N'Python', @script = N'', @input_data_1 = N'SELECT 1 AS a', @input_data_1_partition_by_columns = N'b';
