# Twenty runs, of which number 13 fails: the error stands at its index, in the database's context as in the local one.
import sys
import warnings

from revoscalepy import *


def check_ticket(id, price):
    if id == 13:
        raise Exception("ticket %d is not valid" % id)
    return id * price


elem_arg = [{"id": i, "price": 2} for i in range(20)]
for context in (
    RxInSqlServer("Driver=SQL Server;Server=.;Database=Fair;Trusted_Connection=TRUE", num_tasks=4),
    RxLocalSeq(),
):
    rx_set_compute_context(context)
    with warnings.catch_warnings(record=True) as caught:
        results = rx_exec(check_ticket, elem_arg, continue_on_failure=True)
    print(len(results), results[12], repr(results[13]), results[14], len(caught))
