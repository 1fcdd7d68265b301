"""Ends jobs and removes what they stored: cancel, and clean up."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from rxsql.client import waiting
from rxsql.client.handle import JobInfo, forget, id_of, store_of
from rxsql.errors import JobNotFoundError, UncollectedResultsWarning
from rxsql.models import RxRemoteJobStatus
from rxsql.store import jobs

if TYPE_CHECKING:
    from rxsql.models import Purged
    from rxsql.store.engine import Store


def rx_cancel_job(job_info: JobInfo, console_output: bool | None = False) -> bool:
    """Cancel a job: end the code that runs, start nothing more, and remove its results and output.

    Args:
        job_info: A job, or its id.
        console_output: Whether to print what its runs had written; None: as the job's context said.

    Returns:
        Whether it was canceled; False when it had ended already.

    Raises:
        JobNotFoundError: The job's store does not know it.

    Differs from revoscalepy: the job stays listed as canceled until it is cleaned up.

    Source: `rx_cancel_job` of the revoscalepy reference, 9.4.
    """
    store, job_id = store_of(job_info), id_of(job_info)
    job = jobs.get_job(store, job_id)
    if job.status.is_final:
        return False
    if job.console_output if console_output is None else console_output:
        waiting.ConsoleTail(store, job_id).show()
    canceled = jobs.cancel(store, job_id)
    forget(job_id)
    return canceled


def rx_cleanup_jobs(
    job_info_list: JobInfo | list[JobInfo], force: bool = False, verbose: bool = True
) -> None:
    """Remove what jobs have stored: tasks, inputs, results, output.

    A finished job is kept under an `UncollectedResultsWarning`, since its results may not have been collected; so is
    one that still runs.

    Args:
        job_info_list: A job or a list of jobs, as from `rx_get_jobs`; each may be given by its id.
        force: Whether to remove finished jobs too, and to end those that still run.
        verbose: Whether to print what was removed.

    Raises:
        JobNotFoundError: A job's store does not know it; nothing was removed.

    Source: `rx_cleanup_jobs` of the revoscalepy reference, 9.4; `rxCleanupJobs` of RevoScaleR 9.1.
    """
    listed = job_info_list if isinstance(job_info_list, (list, tuple)) else [job_info_list]
    for store, job_id, status in [_found(job_info) for job_info in listed]:
        kept = None if force else _why_kept(job_id, status)
        if kept is not None:
            warnings.warn(kept, UncollectedResultsWarning, stacklevel=2)
            continue
        purged = jobs.purge(store, job_id)
        forget(job_id)
        if verbose:
            print(_what_went(purged))


def _found(job_info: JobInfo) -> tuple[Store, str, RxRemoteJobStatus]:
    store, job_id = store_of(job_info), id_of(job_info)
    status = jobs.job_status(store, job_id)
    if status is RxRemoteJobStatus.MISSING:
        raise JobNotFoundError(job_id, store.label)
    return store, job_id, status


def _why_kept(job_id: str, status: RxRemoteJobStatus) -> str | None:
    if status is RxRemoteJobStatus.FINISHED:
        return (
            f"Job {job_id} has finished and was not cleaned up, because its results may not have been collected. Get "
            "them with rx_get_job_results, or use force=True to remove them."
        )
    if not status.is_final:
        return f"Job {job_id} is {status} and was not cleaned up. Cancel it with rx_cancel_job, or use force=True."
    return None


def _what_went(purged: Purged) -> str:
    return (
        f"Job {purged.job_id}: removed {purged.tasks} task rows, {purged.results} results and {purged.console} "
        "console chunks."
    )
