"""Takes a job's results, and what `auto_cleanup` makes of the job then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rxsql.client import collecting, waiting
from rxsql.client.handle import JobInfo, RxRemoteJob, forget, id_of, store_of
from rxsql.client.scripts import ScriptResult, take_script_result
from rxsql.errors import JobCanceledError, JobFailedError
from rxsql.kinds import JobKind
from rxsql.models import RxRemoteJobStatus
from rxsql.settings import Settings
from rxsql.store import jobs, outputs

if TYPE_CHECKING:
    from rxsql.models import JobState
    from rxsql.store.engine import Store


def rx_get_job_results(
    job_info: JobInfo, console_output: bool | None = None, auto_cleanup: bool | None = None
) -> list[Any] | str | ScriptResult:
    """Return the results of a finished job.

    Args:
        job_info: A job, or its id.
        console_output: Whether to print what the runs wrote; None: as the job's context said.
        auto_cleanup: Whether to remove the job's results and output afterwards; None: as the job's context said.

    Returns:
        The list of the runs' values as from `rx_exec`; of a script or published function a `ScriptResult`; or, where
        there are none to be had, a message that says whether the job is unfinished, has failed, was canceled, or was
        purged.

    Raises:
        JobNotFoundError: The job's store does not know it.

    Source: `rx_get_job_results` of the revoscalepy reference, 9.4.
    """
    store, job_id = store_of(job_info), id_of(job_info)
    job = jobs.get_job(store, job_id)
    if job.console_output if console_output is None else console_output:
        waiting.ConsoleTail(store, job_id).show()
    if job.status is not RxRemoteJobStatus.FINISHED:
        return _why_none(job)
    clean = job.auto_cleanup if auto_cleanup is None else bool(auto_cleanup)
    if job.kind is not JobKind.FUNCTION:
        return take_script_result(store, job, auto_cleanup=clean)
    callback = None if isinstance(job_info, str) else job_info.callback
    gathered = collecting.gather(store, job, Settings.from_environment())
    results = gathered.hand_over(f"Job {job_id}", callback=callback, stacklevel=3)
    settle(store, job, auto_cleanup=clean and not gathered.unread)
    return results


def _why_none(job: JobState) -> str:
    reasons = {
        RxRemoteJobStatus.QUEUED: "it has not finished: it is queued",
        RxRemoteJobStatus.RUNNING: "it has not finished: it is running",
        RxRemoteJobStatus.FAILED: f"it has failed: {(job.error or '').removesuffix('.')}",
        RxRemoteJobStatus.CANCELED: "it was canceled",
        RxRemoteJobStatus.UNDETERMINED: "it was purged: its results were taken or removed before",
    }
    return f"The results of job {job.job_id} are not available, because {reasons[job.status]}."


def settle(store: Store, job: JobState, *, auto_cleanup: bool) -> None:
    """Note that a job's results were taken, and remove them where that is asked for."""
    forget(job.job_id)
    if auto_cleanup:
        jobs.purge_ended(store, job)


def take_results(
    job_info: RxRemoteJob, job: JobState, settings: Settings, *, auto_cleanup: bool, stacklevel: int = 3
) -> list[Any]:
    """Return an ended job's results to the call that waited for it.

    Args:
        job_info: The job's handle.
        job: Where the job stands, which has ended.
        settings: Those with the keys of signed results.
        auto_cleanup: Whether to remove the job's results and output afterwards.
        stacklevel: Whose line a warning about failed runs names, counted from here.

    Raises:
        JobFailedError: The job failed; the message has the remote traceback.
        JobCanceledError: The job was canceled.
    """
    store, job_id = store_of(job_info), job_info.job_id
    if job.status is not RxRemoteJobStatus.FINISHED:
        forget(job_id)
        if job.status is RxRemoteJobStatus.CANCELED:
            raise JobCanceledError(job_id)
        raise (
            failure(store, job)
            if job.status is RxRemoteJobStatus.FAILED
            else JobFailedError(job_id, _why_none(job))
        )
    gathered = collecting.gather(store, job, settings)
    results = gathered.hand_over(f"Job {job_id}", callback=job_info.callback, stacklevel=stacklevel + 1)
    settle(store, job, auto_cleanup=auto_cleanup and not gathered.unread)
    return results


def failure(store: Store, job: JobState) -> JobFailedError:
    """Return a failed job's error; where a run's failure is the reason, its exception is the cause."""
    first = outputs.first_failure(store, job.job_key)
    if first is None or first.error is None or first.error not in (job.error or ""):
        return JobFailedError(job.job_id, job.error or "it failed")
    error = JobFailedError(job.job_id, job.error or "it failed", first.traceback or "")
    error.__cause__ = collecting.Reader(job.job_id, Settings.from_environment()).error(first)
    return error
