# A waiting call with all options spelled out; its data travels as an argument, and its output is shown here.
from revoscalepy import RxInSqlServer, rx_exec

sales = [{"shop": "north", "sold": 3}, {"shop": "south", "sold": 4}]


def total(dataset):
    print("rows:", len(dataset))
    return sum(row["sold"] for row in dataset)


where = RxInSqlServer(
    connection_string="driver=SQL Server;server=.;database=Shop;trusted_connection=Yes",
    num_tasks=1,
    auto_cleanup=False,
    console_output=True,
    execution_timeout_seconds=0,
    wait=True,
)
answer = rx_exec(function=total, args={"dataset": sales}, compute_context=where)
print("answer:", answer)
