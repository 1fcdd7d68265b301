# A function from a module of the script's own folder, and one from the script that calls it.
import neighbour
from revoscalepy import RxInSqlServer, rx_exec

cc = RxInSqlServer("Driver=SQL Server;Server=.;Database=Fair;Trusted_Connection=True;")


def through(x):
    return neighbour.triple(x) + 1


print(rx_exec(neighbour.triple, x=[1, 2], compute_context=cc), rx_exec(through, x=5, compute_context=cc))
