"""The client's operations on jobs: look, read outcomes and console, cancel, purge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.errors import JobNotFoundError
from rxsql.kinds import JobKind
from rxsql.models import Job, JobState, Purged, RxRemoteJobStatus
from rxsql.store import large, storedfunctions
from rxsql.store.retry import retried
from rxsql.store.scripttables import frames, scripts, waiters
from rxsql.store.tables import (
    Key,
    console_chunks,
    constant,
    crash_rows,
    inputs,
    job_progress,
    jobs,
    now,
    results,
    task_rows,
    workers,
)
from rxsql.store.tasks import end_open_job

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from rxsql.store.engine import Store


_OF_JOB = sa.bindparam("job_key", type_=Key)
_STATE = constant(
    sa.select(
        jobs.c.status,
        jobs.c.purged_at,
        jobs.c.job_key,
        jobs.c.run_count,
        jobs.c.error,
        jobs.c.function_hash,
    ).where(jobs.c.job_id == sa.bindparam("job_id"))
)
_FOUND = constant(
    sa.select(jobs.c.job_key, jobs.c.job_id, jobs.c.status, jobs.c.function_hash).where(
        jobs.c.job_id == sa.bindparam("job_id")
    )
)
_JOBS = (
    sa.select(
        *(column for column in jobs.c if column.name not in ("done_runs", "failed_runs")),
        job_progress.c.done_runs,
        job_progress.c.failed_runs,
    )
    .join(job_progress, job_progress.c.job_id == jobs.c.job_id)
    .order_by(jobs.c.job_key.desc())
)
_JOB = constant(_JOBS.where(jobs.c.job_id == sa.bindparam("job_id")))
_ARTIFACTS = (results, console_chunks, inputs, crash_rows, frames, scripts, waiters)
_ONE: sa.ColumnClause[int] = sa.literal_column("1")
_ZERO: sa.ColumnClause[int] = sa.literal_column("0")
# One question instead of many statements that would find nothing: most jobs have rows in one or two of these.
_HAS_ARTIFACTS = constant(
    sa.select(
        *(
            sa.case((sa.exists(table.c.job_key).where(table.c.job_key == _OF_JOB), _ONE), else_=_ZERO)
            for table in _ARTIFACTS
        )
    )
)
_DROP_ARTIFACTS = [constant(sa.delete(table).where(table.c.job_key == _OF_JOB)) for table in _ARTIFACTS]
_DROP_TASKS = constant(sa.delete(task_rows).where(task_rows.c.job_key == _OF_JOB))
_MARK_PURGED = constant(
    sa.update(jobs)
    .where(jobs.c.job_key == sa.bindparam("purged_key"))
    .values(purged_at=sa.func.coalesce(jobs.c.purged_at, now()))
)


def job_status(store: Store, job_id: str) -> RxRemoteJobStatus:
    """Return a job's status; cheap, and never an error for an unknown id."""
    state = job_state(store, job_id)
    return RxRemoteJobStatus.MISSING if state is None else state.status


@retried
def job_state(store: Store, job_id: str) -> JobState | None:
    """Return where a job stands, or None where the store does not know the id."""
    with store.read() as connection:
        row = connection.execute(_STATE, {"job_id": job_id}).one_or_none()
    if row is None:
        return None
    return JobState(
        job_key=row.job_key,
        job_id=job_id,
        status=_status(row.status, row.purged_at),
        run_count=row.run_count,
        error=row.error,
        function_hash=row.function_hash,
    )


def _status(status: str, purged_at: object) -> RxRemoteJobStatus:
    return RxRemoteJobStatus(status) if purged_at is None else RxRemoteJobStatus.UNDETERMINED


@retried
def get_job(store: Store, job_id: str) -> Job:
    """Return a job with its progress.

    Raises:
        JobNotFoundError: The store does not know the id.
    """
    with store.read() as connection:
        row = connection.execute(_JOB, {"job_id": job_id}).mappings().one_or_none()
    if row is None:
        raise JobNotFoundError(job_id, store.label)
    return _job(row)


@retried
def list_jobs(
    store: Store,
    *,
    states: Sequence[RxRemoteJobStatus] = (),
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    limit: int | None = None,
) -> list[Job]:
    """Return jobs, the newest first, optionally those in some states or created in a span of time (inclusive)."""
    conditions: list[sa.ColumnElement[bool]] = []
    if start_time is not None:
        conditions.append(jobs.c.created_at >= start_time)
    if end_time is not None:
        conditions.append(jobs.c.created_at <= end_time)
    with store.read() as connection:
        rows = connection.execute(_JOBS.where(*conditions).limit(None if states else limit)).mappings()
        found = [_job(row) for row in rows]
    return [job for job in found if not states or job.status in states][:limit]


def _job(row: Any) -> Job:
    return Job(
        job_key=row["job_key"],
        job_id=row["job_id"],
        name=row["name"],
        kind=JobKind(row["kind"]),
        status=_status(row["status"], row["purged_at"]),
        run_count=row["run_count"],
        done_runs=row["done_runs"],
        failed_runs=row["failed_runs"],
        num_tasks=row["num_tasks"],
        auto_cleanup=bool(row["auto_cleanup"]),
        console_output=bool(row["console_output"]),
        context=row["context"],
        python=row["python"],
        error=row["error"],
        function_hash=row["function_hash"],
        submitted_by=row["submitted_by"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )


def cancel(store: Store, job_id: str) -> bool:
    """Cancel an open job and remove what it stored; return False when it had ended already.

    Raises:
        JobNotFoundError: The store does not know the id.
    """
    tries = 0

    @retried
    def end() -> bool:
        nonlocal tries
        tries += 1
        with store.write() as connection:
            job = _found(connection, store, job_id)
            if end_open_job(connection, store, job.job_key, RxRemoteJobStatus.CANCELED, None):
                _delete_artifacts(connection, job.job_key)
                return True
            # The try before may have been committed, and its answer lost with the connection.
            return tries > 1 and RxRemoteJobStatus(job.status) is RxRemoteJobStatus.CANCELED

    is_canceled = end()
    if is_canceled:
        large.drop(store, job_id)
    return is_canceled


@retried
def purge(store: Store, job_id: str) -> Purged:
    """Remove a job's tasks, inputs, results and console lines; its row stays and says so.

    Raises:
        JobNotFoundError: The store does not know the id.
    """
    with store.write() as connection:
        job = _found(connection, store, job_id)
        if not RxRemoteJobStatus(job.status).is_final:
            end_open_job(connection, store, job.job_key, RxRemoteJobStatus.CANCELED, None)
        purged = _purge(connection, store, job)
    large.drop(store, job_id)
    return purged


@retried
def purge_ended(store: Store, job: JobState) -> None:
    """Remove what an ended job has stored; not durable: after a loss of power its results are simply still there."""
    with store.write(durable=False) as connection:
        _drop(connection, job.job_key)
        storedfunctions.leave(connection, store, job.function_hash)
    large.drop(store, job.job_id)


def _found(connection: Connection, store: Store, job_id: str) -> Any:
    row = connection.execute(_FOUND, {"job_id": job_id}).one_or_none()
    if row is None:
        raise JobNotFoundError(job_id, store.label)
    return row


def _purge(connection: Connection, store: Store, job: Any) -> Purged:
    tasks, results_count, console_count = _drop(connection, job.job_key)
    storedfunctions.drop_unused(connection, store, job.function_hash)
    return Purged(job_id=job.job_id, tasks=tasks, results=results_count, console=console_count)


def _drop(connection: Connection, job_key: int) -> tuple[int, int, int]:
    """Remove what a job has, but for its function; return how many tasks, results and pieces of console that were."""
    results_count, console_count, *_ = _delete_artifacts(connection, job_key)
    task_count = connection.execute(_DROP_TASKS, {"job_key": job_key}).rowcount
    connection.execute(_MARK_PURGED, {"purged_key": job_key})
    return task_count, results_count, console_count


def _delete_artifacts(connection: Connection, job_key: int) -> list[int]:
    """Delete what a job has stored; return how many rows in each table."""
    has = connection.execute(_HAS_ARTIFACTS, {"job_key": job_key}).all()[0]
    return [
        connection.execute(drop, {"job_key": job_key}).rowcount if has_rows else 0
        for has_rows, drop in zip(has, _DROP_ARTIFACTS, strict=True)
    ]


def purge_expired(
    store: Store, *, retention_seconds: float, tombstone_seconds: float, limit: int = 100
) -> int:
    """Purge final jobs that nobody collected in time, and forget what was purged long ago; return how many."""
    with store.read() as connection:
        parameters = {"retention_seconds": retention_seconds, "limit": limit}
        expired = connection.execute(store.sql("expired_jobs"), parameters).all()
    for job in expired:
        with store.write(durable=False) as connection:
            _purge(connection, store, job)
        large.drop(store, job.job_id)
    large.drop_strays(store)
    storedfunctions.sweep(store)
    with store.write(durable=False) as connection:
        connection.execute(store.sql("delete_tombstones"), {"tombstone_seconds": tombstone_seconds})
        connection.execute(store.sql("delete_stopped_workers"), {"tombstone_seconds": tombstone_seconds})
    return len(expired)


_TASK_COUNTS = constant(
    sa.select(task_rows.c.status, workers.c.worker_id, sa.func.count().label("task_count"))
    .outerjoin_from(task_rows, workers, workers.c.worker_key == task_rows.c.worker_key)
    .where(task_rows.c.job_key == _OF_JOB)
    .group_by(task_rows.c.status, workers.c.worker_id)
    .order_by(task_rows.c.status, workers.c.worker_id)
)


@retried
def task_counts(store: Store, job_key: int) -> list[tuple[str, str | None, int]]:
    """Return how many of a job's tasks are in each status at each worker, as (status, worker id, count)."""
    with store.read() as connection:
        return [
            (row.status, row.worker_id, row.task_count)
            for row in connection.execute(_TASK_COUNTS, {"job_key": job_key})
        ]
