-- One run a partition, in the order asked for within each; the rows of all runs are one result set.
-- columns: g int, i int
-- rows: [(1, 3), (2, 4)]
EXEC rx.sp_execute_external_script
    @language = N'Python',
    @script = N'OutputDataSet = InputDataSet.head(1)',
    @input_data_1 = N'SELECT g, i FROM (VALUES (1, 2), (1, 3), (2, 4)) AS given(g, i)',
    @input_data_1_partition_by_columns = N'g',
    @input_data_1_order_by_columns = N'[i] DESC';
