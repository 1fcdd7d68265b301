"""The job functions in one place, as `rxsql` and the command line import them."""

from rxsql.client.handle import JobInfo, RxRemoteJob, context_of, rxg_last_pending_job, store_of
from rxsql.client.looking import (
    rx_get_job_info,
    rx_get_job_output,
    rx_get_job_status,
    rx_get_jobs,
    rx_wait_for_job,
)
from rxsql.client.removing import rx_cancel_job, rx_cleanup_jobs
from rxsql.client.taking import failure, rx_get_job_results, take_results

__all__ = [
    "JobInfo",
    "RxRemoteJob",
    "context_of",
    "failure",
    "rx_cancel_job",
    "rx_cleanup_jobs",
    "rx_get_job_info",
    "rx_get_job_output",
    "rx_get_job_results",
    "rx_get_job_status",
    "rx_get_jobs",
    "rx_wait_for_job",
    "rxg_last_pending_job",
    "store_of",
    "take_results",
]
