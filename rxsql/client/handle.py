"""The handle of a submitted job, the store and context behind it, and the last pending one."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from rxsql.client.context import RxInSqlServer, resolve
from rxsql.errors import ArgumentsError, NotSupportedError, RxSqlError
from rxsql.models import RxRemoteJobStatus
from rxsql.store import jobs
from rxsql.store.engine import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rxsql.client.context import RxComputeContext
    from rxsql.models import Job


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
        """Remove everything the job stored, its results included; end it first where it still runs.

        Raises:
            JobNotFoundError: The job's store does not know it.
        """
        job_id = self.job_id
        jobs.purge(store_of(self), job_id)
        forget(job_id)

    @staticmethod
    def deserialize_job(job_id: str) -> RxRemoteJob:
        """Return the job of that id, from the current context's store, else from `RXSQL_STORE` or the default store.

        Raises:
            JobNotFoundError: No such job is there.
        """
        store = _current_store()
        return RxRemoteJob(context_of(store, jobs.get_job(store, job_id)), job_id)

    @staticmethod
    def deserialize_jobs() -> list[RxRemoteJob]:
        """Return the jobs of that store that were not closed or cleaned up, the newest first."""
        store = _current_store()
        return [
            RxRemoteJob(context_of(store, job), job.job_id)
            for job in jobs.list_jobs(store)
            if job.status is not RxRemoteJobStatus.UNDETERMINED
        ]

    def resolve_context(self) -> RxComputeContext | None:
        """Return the job's context, or None where its store does not know the job any more."""
        known = jobs.job_status(store_of(self), self.job_id) is not RxRemoteJobStatus.MISSING
        return self.compute_context if known else None


JobInfo: TypeAlias = RxRemoteJob | str
"""A job, or (an addition of rxsql) just its id."""


def id_of(job_info: JobInfo) -> str:
    """Return a job's id."""
    return job_info if isinstance(job_info, str) else job_info.job_id


def store_of(job_info: JobInfo) -> Store:
    """Return the store that holds a job.

    Raises:
        ArgumentsError: It is neither a job nor an id.
        NotSupportedError: Its context has no jobs.
    """
    if isinstance(job_info, str):
        return _current_store()
    if not isinstance(job_info, RxRemoteJob):
        raise ArgumentsError(
            f"A job is what rx_exec returns in a context with wait=False, or its id; {job_info!r} is neither."
        )
    return store_of_context(job_info.compute_context)


def store_of_context(compute_context: RxComputeContext) -> Store:
    """Return the store that holds a context's jobs.

    Raises:
        NotSupportedError: The context has no jobs.
    """
    if not isinstance(compute_context, RxInSqlServer):
        raise NotSupportedError(
            f"A {type(compute_context).__name__} has no jobs. Name the RxInSqlServer context they were submitted in."
        )
    return open_store(compute_context.store)


def _current_store() -> Store:
    current = resolve(None)
    return open_store(current.store if isinstance(current, RxInSqlServer) else None)


def context_of(store: Store, job: Job) -> RxInSqlServer:
    """Rebuild the context a job was submitted in; its store is the one where the job was found."""
    saved = json.loads(job.context)
    context = RxInSqlServer(
        saved["connection_string"],
        num_tasks=saved["num_tasks"],
        auto_cleanup=saved["auto_cleanup"],
        console_output=saved["console_output"],
        execution_timeout_seconds=saved["execution_timeout_seconds"],
        wait=saved["wait"],
        packages_to_load=saved["packages_to_load"],
    )
    # A string without its password, or a path relative to another folder, leads nowhere from here.
    if context.store not in (store.url, store.label):
        context.connection_string = store.url
    return context


# ------------------------------------------------------------------------------------------ the last pending job

_pending: list[RxRemoteJob] = []


class _LastPendingJob(RxRemoteJob):
    """Stands for the job that was submitted last and whose results were not taken yet."""

    def __init__(self) -> None:
        pass

    @property
    def _job(self) -> RxRemoteJob:
        if not _pending:
            raise RxSqlError(
                "There is no pending job: none was submitted in this session, or all results were taken. List the "
                "jobs of a context with rx_get_jobs."
            )
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


rxg_last_pending_job: RxRemoteJob = _LastPendingJob()


@contextmanager
def remembered(job: RxRemoteJob) -> Iterator[None]:
    """Make a job the last pending one while it is stored, and for longer unless that fails.

    Not after it: Ctrl-C may come when it is stored already, and before this process knows.
    """
    _pending.append(job)
    try:
        yield
    except Exception:
        _pending[:] = [other for other in _pending if other is not job]
        raise


def forget(job_id: str) -> None:
    """Take a job off the pending ones: it was collected or removed."""
    _pending[:] = [job for job in _pending if job.job_id != job_id]
