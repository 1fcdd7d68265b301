# A non-waiting job, and every function that asks about it; each answer is printed.
from revoscalepy import (
    RxInSqlServer,
    RxRemoteJobStatus,
    rx_exec,
    rx_get_job_info,
    rx_get_job_output,
    rx_get_job_results,
    rx_get_job_status,
    rx_get_jobs,
    rx_wait_for_job,
)

cc = RxInSqlServer(
    connection_string="Driver=SQL Server;Server=.;Database=Stock;Trusted_Connection=True;",
    num_tasks=1,
    console_output=True,
    wait=False,
)


def count_boxes():
    print("counting boxes")
    return 42


job = rx_exec(function=count_boxes, compute_context=cc)
status = rx_get_job_status(job)
if status == RxRemoteJobStatus.RUNNING or status == RxRemoteJobStatus.QUEUED:
    rx_wait_for_job(job)
print("status:", rx_get_job_status(job))
print("output:", rx_get_job_output(job))
print("info:", rx_get_job_info(job))
print("jobs:", rx_get_jobs(cc))
print("results:", rx_get_job_results(job))
print("afterwards:", rx_get_job_status(job))
