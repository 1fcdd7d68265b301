"""The job functions: status, wait, results, output, list, cancel, clean up."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from rxsql import payload
from rxsql.client import collecting, waiting
from rxsql.client.context import RxInSqlServer, resolve
from rxsql.errors import (
    ArgumentsError,
    JobCanceledError,
    JobFailedError,
    JobNotFoundError,
    NotSupportedError,
    PurgedJobWarning,
    RxSqlError,
    UncollectedResultsWarning,
)
from rxsql.models import RxRemoteJobStatus
from rxsql.store import jobs
from rxsql.store.engine import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rxsql.client.context import RxComputeContext
    from rxsql.models import Job, Purged


class RxRemoteJob:
    """A submitted job: its id, and the context it was submitted in.

    Args:
        compute_context: The context whose store holds the job.
        job_id: The job's id.

    Differs from revoscalepy: a job is found by its id alone, from any process that reaches its store.

    Source: `RxRemoteJob` of the revoscalepy reference, 9.4.
    """

    def __init__(self, compute_context: RxComputeContext, job_id: str | None = None) -> None:
        self.compute_context = compute_context
        self.job_id = job_id or ""
        self.callback: Callable[[Any], Any] | None = None

    def __repr__(self) -> str:
        return f"RxRemoteJob(job_id={self.job_id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RxRemoteJob) and self.job_id == other.job_id

    def __hash__(self) -> int:
        return hash(self.job_id)

    def close(self) -> None:
        """Remove everything the job stored, its results included; end it first where it still runs."""
        jobs.purge(store_of(self), self.job_id)

    @staticmethod
    def deserialize_job(job_id: str) -> RxRemoteJob:
        """Return the job of that id, from the current context's store, else from `RXSQL_STORE` or the default store.

        Raises:
            JobNotFoundError: No such job is there.
        """
        store = _current_store()
        return RxRemoteJob(_context_of(store, jobs.get_job(store, job_id)), job_id)

    @staticmethod
    def deserialize_jobs() -> list[RxRemoteJob]:
        """Return the jobs of that store that were not closed or cleaned up, the newest first."""
        store = _current_store()
        return [
            RxRemoteJob(_context_of(store, job), job.job_id)
            for job in jobs.list_jobs(store)
            if job.status is not RxRemoteJobStatus.UNDETERMINED
        ]

    def resolve_context(self) -> RxComputeContext | None:
        """Return the job's context, or None where its store does not know the job any more."""
        known = jobs.job_status(store_of(self), self.job_id) is not RxRemoteJobStatus.MISSING
        return self.compute_context if known else None


JobInfo: TypeAlias = RxRemoteJob | str
"""A job, or (an addition of rxsql) just its id."""


class _LastPendingJob(RxRemoteJob):
    """Stands for the job that was submitted last and whose results were not taken yet."""

    def __init__(self) -> None:
        pass

    @property
    def _job(self) -> RxRemoteJob:
        if not _pending:
            raise RxSqlError("There is no pending job: none was submitted in this session, or its results were taken.")
        return _pending[-1]

    @property
    def job_id(self) -> str:  # type: ignore[override]
        """The id of that job."""
        return self._job.job_id

    @property
    def compute_context(self) -> RxComputeContext:  # type: ignore[override]
        """The context of that job."""
        return self._job.compute_context

    @property
    def callback(self) -> Callable[[Any], Any] | None:  # type: ignore[override]
        """The callback of that job."""
        return self._job.callback

    def __repr__(self) -> str:
        return f"rxg_last_pending_job({_pending[-1].job_id!r})" if _pending else "rxg_last_pending_job(none)"


_pending: list[RxRemoteJob] = []
rxg_last_pending_job: RxRemoteJob = _LastPendingJob()


def remember(job: RxRemoteJob) -> None:
    """Make a job the last pending one."""
    _pending.append(job)


def _forget(job_id: str) -> None:
    _pending[:] = [job for job in _pending if job.job_id != job_id]


def store_of(job_info: JobInfo) -> Store:
    """Return the store that holds a job.

    Raises:
        ArgumentsError: It is neither a job nor an id.
    """
    if isinstance(job_info, str):
        return _current_store()
    if not isinstance(job_info, RxRemoteJob):
        raise ArgumentsError(f"job_info must be a job as rx_exec returns it with wait=False, not {job_info!r}.")
    return _store_of_context(job_info.compute_context)


def _store_of_context(compute_context: RxComputeContext) -> Store:
    if not isinstance(compute_context, RxInSqlServer):
        raise NotSupportedError(f"A {type(compute_context).__name__} has no jobs; only RxInSqlServer has.")
    return open_store(compute_context.store)


def _current_store() -> Store:
    current = resolve(None)
    return open_store(current.store if isinstance(current, RxInSqlServer) else None)


def _context_of(store: Store, job: Job) -> RxInSqlServer:
    """Rebuild the context a job was submitted in; the store is the one where the job was found."""
    saved = json.loads(job.context)
    context = RxInSqlServer(
        store.url,
        num_tasks=saved["num_tasks"],
        auto_cleanup=saved["auto_cleanup"],
        console_output=saved["console_output"],
        execution_timeout_seconds=saved["execution_timeout_seconds"],
        wait=saved["wait"],
        packages_to_load=saved["packages_to_load"],
    )
    if "***" not in saved["connection_string"]:
        context.connection_string = saved["connection_string"]
    return context if context.store in (store.url, store.label) else RxInSqlServer(store.url)


def _id(job_info: JobInfo) -> str:
    return job_info if isinstance(job_info, str) else job_info.job_id


# ------------------------------------------------------------------------------------------------- looking


def rx_get_job_status(job_info: JobInfo) -> RxRemoteJobStatus:
    """Return where a job stands.

    Args:
        job_info: A job, or its id.

    Returns:
        The status, which is also its lower-case word: "queued", "running", "finished", "failed", "canceled",
        "undetermined" for a job that was purged, "missing" for an id that was never known.

    Differs from revoscalepy: R's "missing" is told apart from "undetermined".

    Source: `rx_get_job_status` of the revoscalepy reference, 9.3.
    """
    return jobs.job_status(store_of(job_info), _id(job_info))


def rx_get_job_info(job: JobInfo) -> RxRemoteJob | None:
    """Return the job as its store knows it, or None where it is missing or purged.

    Source: `rx_get_job_info` of the revoscalepy reference, 9.4.
    """
    store = store_of(job)
    try:
        found = jobs.get_job(store, _id(job))
    except JobNotFoundError:
        return None
    if found.status is RxRemoteJobStatus.UNDETERMINED:
        return None
    return RxRemoteJob(job.compute_context if isinstance(job, RxRemoteJob) else _context_of(store, found), found.job_id)


def rx_wait_for_job(job_info: JobInfo) -> None:
    """Wait until a job has finished, failed or been canceled, with a progress bar where somebody watches.

    Ctrl-C ends the wait, not the job.

    Raises:
        JobNotFoundError: The job's store does not know it.

    Source: `rx_wait_for_job` of the revoscalepy reference, 9.4.
    """
    waiting.wait_for(store_of(job_info), _id(job_info))


def rx_get_job_output(job_info: JobInfo) -> str:
    """Return everything a job's runs have written to stdout and stderr so far, in the order of its arrival.

    Returns:
        The text; empty (with a `PurgedJobWarning`) once the job's output was removed.

    Raises:
        JobNotFoundError: The job's store does not know it.

    Differs from revoscalepy: it works while the job runs.

    Source: `rx_get_job_output` of the revoscalepy reference, 9.4.
    """
    store, job_id = store_of(job_info), _id(job_info)
    job = jobs.get_job(store, job_id)
    if job.status is RxRemoteJobStatus.UNDETERMINED:
        message = f"The output of job {job_id} was removed with its results; use auto_cleanup=False to keep it."
        warnings.warn(message, PurgedJobWarning, stacklevel=2)
    parts: list[str] = []
    waiting.ConsoleTail(store, job_id).show(lambda text, _: parts.append(text))
    return "".join(parts)


def rx_get_jobs(
    compute_context: Any,
    exact_match: bool = False,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    states: list[str] | None = None,
    verbose: bool = True,
) -> list[RxRemoteJob]:
    """Return the jobs of a context's store.

    Args:
        compute_context: The context, or its name.
        exact_match: Whether only jobs submitted with the very same options count; otherwise all jobs of the store do.
        start_time: Only jobs submitted at or after this; local time where it has no time zone.
        end_time: Only jobs submitted at or before this.
        states: Only jobs in these states (words or `RxRemoteJobStatus`); None: all that were not purged.
        verbose: Whether to print a line a job: status, time of the last change, id.

    Raises:
        ArgumentsError: A state is unknown.

    Source: `rx_get_jobs` of the revoscalepy reference, 9.4.
    """
    where = resolve(compute_context)
    store = _store_of_context(where)
    found = jobs.list_jobs(store, states=_states(states), start_time=_utc(start_time), end_time=_utc(end_time))
    if exact_match:
        wanted = json.loads(json.dumps(where.settings()))
        found = [job for job in found if json.loads(job.context) == wanted]
    if verbose:
        for job in found:
            print(f"{job.status:<12} {job.modified_at.astimezone():%Y-%m-%d %H:%M:%S} {job.job_id}")
    return [RxRemoteJob(where, job.job_id) for job in found]


def _states(states: Iterable[str] | None) -> list[RxRemoteJobStatus]:
    if states is None:
        skipped = (RxRemoteJobStatus.UNDETERMINED, RxRemoteJobStatus.MISSING)
        return [status for status in RxRemoteJobStatus if status not in skipped]
    try:
        return [RxRemoteJobStatus(str(state).lower()) for state in states if str(state).lower() != "none"]
    except ValueError as error:
        names = ", ".join(RxRemoteJobStatus)
        raise ArgumentsError(f"{error}. The states are: {names}.") from None


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


# ------------------------------------------------------------------------------------------------- results


def rx_get_job_results(
    job_info: JobInfo, console_output: bool | None = None, auto_cleanup: bool | None = None
) -> list[Any] | str:
    """Return the results of a finished job.

    Args:
        job_info: A job, or its id.
        console_output: Whether to print what the runs wrote; None: as the job's context said.
        auto_cleanup: Whether to remove the job's results and output afterwards; None: as the job's context said.

    Returns:
        The list of the runs' values as from `rx_exec`; or, where there are none to be had, a message that says whether
        the job is unfinished, has failed, was canceled, or was purged.

    Raises:
        JobNotFoundError: The job's store does not know it.

    Source: `rx_get_job_results` of the revoscalepy reference, 9.4.
    """
    store, job_id = store_of(job_info), _id(job_info)
    job = jobs.get_job(store, job_id)
    if job.console_output if console_output is None else console_output:
        waiting.ConsoleTail(store, job_id).show()
    if job.status is not RxRemoteJobStatus.FINISHED:
        return _why_none(job)
    callback = None if isinstance(job_info, str) else job_info.callback
    results = collecting.settle(
        job_id, collecting.gather(store, job), run_count=job.run_count + 1, go_on=True, callback=callback
    )
    _taken(store, job, auto_cleanup=job.auto_cleanup if auto_cleanup is None else auto_cleanup)
    return results


def _why_none(job: Job) -> str:
    reasons = {
        RxRemoteJobStatus.QUEUED: "has not finished: it is queued",
        RxRemoteJobStatus.RUNNING: "has not finished: it is running",
        RxRemoteJobStatus.FAILED: f"has failed: {job.error}",
        RxRemoteJobStatus.CANCELED: "was canceled",
        RxRemoteJobStatus.UNDETERMINED: "was purged: its results were taken or removed before",
    }
    return f"The results of job {job.job_id} are not available, because it {reasons[job.status]}."


def _taken(store: Store, job: Job, *, auto_cleanup: bool) -> None:
    _forget(job.job_id)
    if auto_cleanup:
        # Not durable: after a loss of power the results are simply still there.
        jobs.purge(store, job.job_id, durable=False)


def take_results(job_info: RxRemoteJob, *, auto_cleanup: bool) -> list[Any]:
    """Return an ended job's results to the call that waited for it.

    Raises:
        JobFailedError: The job failed; the message has the remote traceback.
        JobCanceledError: The job was canceled.
    """
    store, job_id = store_of(job_info), job_info.job_id
    job = jobs.get_job(store, job_id)
    if job.status is RxRemoteJobStatus.FAILED:
        _forget(job_id)
        raise failure(store, job)
    if job.status is RxRemoteJobStatus.CANCELED:
        _forget(job_id)
        raise JobCanceledError(job_id)
    if job.status is not RxRemoteJobStatus.FINISHED:
        raise JobFailedError(job_id, _why_none(job))
    gathered = collecting.gather(store, job)
    results = collecting.settle(
        job_id, gathered, run_count=job.run_count + 1, go_on=True, callback=job_info.callback, stacklevel=4
    )
    _taken(store, job, auto_cleanup=auto_cleanup)
    return results


def failure(store: Store, job: Job) -> JobFailedError:
    """Return a failed job's error, with the first failed run's exception as its cause."""
    first = jobs.first_failure(store, job.job_key)
    trace = (first.traceback or "") if first else ""
    error = JobFailedError(job.job_id, job.error or "it failed", trace)
    if first is not None and first.error is not None:
        error.__cause__ = payload.load_error(first.error, first.traceback, first.value)
    return error


# ------------------------------------------------------------------------------------- cancelling, cleaning up


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
    store, job_id = store_of(job_info), _id(job_info)
    job = jobs.get_job(store, job_id)
    if job.status.is_final:
        return False
    if job.console_output if console_output is None else console_output:
        waiting.ConsoleTail(store, job_id).show()
    canceled = jobs.cancel(store, job_id)
    _forget(job_id)
    return canceled


def rx_cleanup_jobs(job_info_list: JobInfo | list[JobInfo], force: bool = False, verbose: bool = True) -> None:
    """Remove what jobs have stored: tasks, inputs, results, output.

    A finished job is kept under an `UncollectedResultsWarning`, since its results may not have been collected; so is one
    that still runs.

    Args:
        job_info_list: A job or a list of jobs, as from `rx_get_jobs`.
        force: Whether to remove finished jobs too, and to end those that still run.
        verbose: Whether to print what was removed.

    Raises:
        JobNotFoundError: A job's store does not know it.

    Source: `rx_cleanup_jobs` of the revoscalepy reference, 9.4; `rxCleanupJobs` of RevoScaleR 9.1.
    """
    for job_info in job_info_list if isinstance(job_info_list, (list, tuple)) else [job_info_list]:
        store, job_id = store_of(job_info), _id(job_info)
        status = jobs.job_status(store, job_id)
        if status is RxRemoteJobStatus.MISSING:
            raise JobNotFoundError(job_id, store.label)
        kept = None if force else _why_kept(job_id, status)
        if kept is not None:
            warnings.warn(kept, UncollectedResultsWarning, stacklevel=2)
            continue
        purged = jobs.purge(store, job_id)
        _forget(job_id)
        if verbose:
            print(_what_went(purged))


def _why_kept(job_id: str, status: RxRemoteJobStatus) -> str | None:
    if status is RxRemoteJobStatus.FINISHED:
        return (
            f"Job {job_id} has finished and was not cleaned up, because its results may not have been collected. Get them "
            "with rx_get_job_results, or use force=True to remove them."
        )
    if not status.is_final:
        return f"Job {job_id} is {status} and was not cleaned up. Cancel it with rx_cancel_job, or use force=True."
    return None


def _what_went(purged: Purged) -> str:
    return (
        f"Job {purged.job_id}: removed {purged.tasks} task rows, {purged.results} results and {purged.console} console "
        "chunks."
    )

