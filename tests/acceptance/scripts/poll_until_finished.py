# Asks again and again until the job is finished; only then looks at its output and results.
import time

from revoscalepy import (
    RxInSqlServer,
    RxRemoteJobStatus,
    rx_exec,
    rx_get_job_output,
    rx_get_job_results,
    rx_get_job_status,
)

context = RxInSqlServer("Driver=SQL Server;Server=.;Database=Stock;UID=sa;PWD=secret", wait=False)


def weigh():
    print("weighing")
    return 12.5


job = rx_exec(weigh, compute_context=context)
status = rx_get_job_status(job)
while status != RxRemoteJobStatus.FINISHED:
    time.sleep(0.1)
    status = rx_get_job_status(job)
print(rx_get_job_output(job), end="")
print(rx_get_job_results(job))
