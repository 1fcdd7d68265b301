# The paths under which older scripts found the same names.
import revoscalepy as revoscale
from revoscalepy.computecontext.RxComputeContext import rx_set_compute_context
from revoscalepy.computecontext.RxInSqlServer import RxInSqlServer, rx_exec
from revoscalepy.computecontext.RxJob import RxRemoteJobStatus
from revoscalepy.computecontext.RxLocalSeq import RxLocalSeq
from revoscalepy.computecontext.RxRemoteJob import RxRemoteJob
from revoscalepy.utils.RxOptions import RxOptions


def twice(x):
    from revoscalepy.computecontext.RxLocalSeq import RxLocalSeq as inside  # on the worker, too

    return inside.__name__, 2 * x


RxOptions.set_option("reportProgress", 0)
rx_set_compute_context(RxInSqlServer("Driver=SQL Server;Server=.;Database=Fair;Trusted_Connection=yes;"))
print(rx_exec(twice, x=21))
rx_set_compute_context(RxLocalSeq())
job = RxRemoteJob(
    RxInSqlServer("Driver=SQL Server;Server=.;Database=Fair;Trusted_Connection=yes;"), "unknown"
)
print(revoscale.rx_get_job_status(job), RxRemoteJobStatus.FINISHED)
