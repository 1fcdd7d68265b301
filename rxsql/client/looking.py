"""Looks at jobs: their status, information, console output, and the list of them."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rxsql.client import waiting
from rxsql.client.context import resolve
from rxsql.client.handle import JobInfo, RxRemoteJob, context_of, id_of, store_of, store_of_context
from rxsql.errors import ArgumentsError, JobNotFoundError, PurgedJobWarning
from rxsql.models import RxRemoteJobStatus
from rxsql.store import jobs

if TYPE_CHECKING:
    from collections.abc import Iterable


def rx_get_job_status(job_info: JobInfo) -> RxRemoteJobStatus:
    """Return where a job stands.

    Args:
        job_info: A job, or its id.

    Returns:
        The status, which is also its lower-case word: "queued", "running", "finished", "failed", "canceled",
        "undetermined" for a job that was purged, "missing" for an id that was never known.

    Raises:
        ArgumentsError: It is neither a job nor an id.

    Differs from revoscalepy: R's "missing" is told apart from "undetermined".

    Source: `rx_get_job_status` of the revoscalepy reference, 9.3.
    """
    return jobs.job_status(store_of(job_info), id_of(job_info))


def rx_get_job_info(job: JobInfo) -> RxRemoteJob | None:
    """Return the job as its store knows it, or None where it is missing or purged.

    Args:
        job: A job, or its id.

    Source: `rx_get_job_info` of the revoscalepy reference, 9.4.
    """
    store = store_of(job)
    try:
        found = jobs.get_job(store, id_of(job))
    except JobNotFoundError:
        return None
    if found.status is RxRemoteJobStatus.UNDETERMINED:
        return None
    return RxRemoteJob(
        context_of(store, found) if isinstance(job, str) else job.compute_context, found.job_id
    )


def rx_wait_for_job(job_info: JobInfo) -> None:
    """Wait until a job has finished, failed or been canceled, with a progress bar where somebody watches.

    Ctrl-C ends the wait, not the job.

    Args:
        job_info: A job, or its id.

    Raises:
        JobNotFoundError: The job's store does not know it.

    Source: `rx_wait_for_job` of the revoscalepy reference, 9.4.
    """
    waiting.wait_for(store_of(job_info), id_of(job_info))


def rx_get_job_output(job_info: JobInfo) -> str:
    """Return everything a job's runs have written to stdout and stderr so far, in the order of its arrival.

    Args:
        job_info: A job, or its id.

    Returns:
        The text; empty (with a `PurgedJobWarning`) once the job's output was removed.

    Raises:
        JobNotFoundError: The job's store does not know it.

    Differs from revoscalepy: it works while the job runs.

    Source: `rx_get_job_output` of the revoscalepy reference, 9.4.
    """
    store, job_id = store_of(job_info), id_of(job_info)
    job = jobs.get_job(store, job_id)
    if job.status in (RxRemoteJobStatus.UNDETERMINED, RxRemoteJobStatus.CANCELED):
        reason = (
            "canceled"
            if job.status is RxRemoteJobStatus.CANCELED
            else "purged (auto_cleanup=False keeps a job)"
        )
        message = f"Job {job_id} was {reason}: its output was removed."
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
    """Return the jobs of a context's store, the newest first.

    Args:
        compute_context: The context, or its name.
        exact_match: Whether only jobs submitted with the very same options count; otherwise all jobs of the store do.
        start_time: Only jobs submitted at or after this; local time where it has no time zone.
        end_time: Only jobs submitted at or before this; likewise.
        states: Only jobs in these states (words or `RxRemoteJobStatus`); None: all that were not purged.
        verbose: Whether to print a line a job: status, local time of the last change, id.

    Raises:
        ArgumentsError: A state is unknown, or a time is no `datetime`.
        NotSupportedError: The context has no jobs.

    Differs from revoscalepy: times are to the millisecond, and "undetermined" lists what was purged.

    Source: `rx_get_jobs` of the revoscalepy reference, 9.4.
    """
    where = resolve(compute_context)
    wanted = _states(states)
    start, end = _utc("start_time", start_time), _utc("end_time", end_time)
    store = store_of_context(where)
    found = jobs.list_jobs(store, states=wanted, start_time=start, end_time=end) if wanted else []
    if exact_match:
        options = json.loads(json.dumps(where.settings()))
        found = [job for job in found if json.loads(job.context) == options]
    if verbose:
        for job in found:
            print(f"{job.status:<12} {job.modified_at.astimezone():%Y-%m-%d %H:%M:%S} {job.job_id}")
    return [RxRemoteJob(where, job.job_id) for job in found]


def _states(states: Iterable[str] | str | None) -> list[RxRemoteJobStatus]:
    if states is None:
        skipped = (RxRemoteJobStatus.UNDETERMINED, RxRemoteJobStatus.MISSING)
        return [status for status in RxRemoteJobStatus if status not in skipped]
    words = [str(state).lower() for state in ([states] if isinstance(states, str) else states)]
    try:
        return [
            RxRemoteJobStatus(word) for word in words if word != "none"
        ]  # revoscalepy's word for no status
    except ValueError as error:
        raise ArgumentsError(f"states: {error}. The states are: {', '.join(RxRemoteJobStatus)}.") from None


def _utc(name: str, moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise ArgumentsError(f"{name} must be a datetime.datetime, not {moment!r}.")
    return moment.astimezone(UTC)
