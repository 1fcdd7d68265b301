"""Takes back what a worker held that has ended, or is taken for dead."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.models import RxRemoteJobStatus
from rxsql.reports import LAST_LINES
from rxsql.store.retry import retried_when_undone
from rxsql.store.tables import OPEN, Key, console_chunks, jobs, now, results, slots, task_rows, workers
from rxsql.store.tasks import end_open_job, finish_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from rxsql.store.engine import Store

_OF_JOB = sa.bindparam("job_key", type_=Key)
_OF_WORKER = sa.bindparam("worker_key", type_=Key)
_JOBS = sa.select(slots.c.job_key).where(slots.c.worker_key == _OF_WORKER).order_by(slots.c.job_key)
_CLOSE_SLOTS = sa.update(slots).where(slots.c.worker_key == sa.bindparam("closed_key")).values(slots=0)
_DROP_SLOTS = sa.delete(slots).where(slots.c.worker_key == _OF_WORKER)
_STOP = (
    sa.update(workers)
    .where(workers.c.worker_key == sa.bindparam("stopped_key"), workers.c.stopped_at.is_(None))
    .values(stopped_at=now())
)
_LAST_CHUNK = (
    sa.select(console_chunks.c.lines)
    .where(console_chunks.c.job_key == _OF_JOB, console_chunks.c.task == sa.bindparam("of_task"))
    .order_by(console_chunks.c.chunk_key.desc())
    .limit(1)
)
# One that is queued may be a submission by hand that is not complete yet.
_STRANDED = sa.select(jobs.c.job_key).where(
    OPEN,
    jobs.c.status == RxRemoteJobStatus.RUNNING.value,
    ~sa.exists().where(task_rows.c.job_key == jobs.c.job_key, OPEN),
)
_COUNT_TASKS = sa.select(sa.func.count()).select_from(task_rows).where(task_rows.c.job_key == _OF_JOB)
_RUN_COUNT = sa.select(jobs.c.run_count).where(jobs.c.job_key == _OF_JOB)
_RECOUNT = (
    sa.update(task_rows)
    .where(task_rows.c.job_key == sa.bindparam("of_job"), task_rows.c.task == sa.bindparam("of_task"))
    .values(
        failed_runs=sa.select(sa.func.count())
        .where(
            results.c.job_key == sa.bindparam("of_job"),
            results.c.run.between(sa.bindparam("first"), sa.bindparam("last")),
            results.c.error.is_not(None),
        )
        .scalar_subquery()
    )
)


@retried_when_undone
def reap(store: Store, worker_key: int, error: str) -> None:
    """Write down that a worker has ended, and take back what it held, all at once.

    Its tasks return to the queue, or fail with `error` after their last attempt. In one transaction: a reaper that
    died between the two would leave tasks behind that nobody takes back.
    """
    with store.write() as connection:
        # The order of locks in which reports take theirs; and the last to end a task sees that none is open.
        for job_key in connection.scalars(_JOBS, {"worker_key": worker_key}).all():
            connection.execute(store.sql("lock_job"), {"job_key": job_key})
        # A claim of its own that is under way ends first, and is found here; none comes after.
        connection.execute(_CLOSE_SLOTS, {"closed_key": worker_key})
        rows = connection.execute(store.sql("reap_tasks"), {"worker_key": worker_key, "error": error}).all()
        failed = [row for row in rows if row.status == RxRemoteJobStatus.FAILED]
        _fail_runs(connection, store, failed, error)
        connection.execute(_DROP_SLOTS, {"worker_key": worker_key})
        connection.execute(_STOP, {"stopped_key": worker_key})
        ended = finish_jobs(connection, store, {row.job_key for row in failed})
        if rows or ended:
            store.notify(connection)


def end_stranded(store: Store) -> list[int]:
    """End jobs that have begun and have no task that is open, as somebody has changed or deleted those by hand.

    Nobody else would: a job ends with the last of its tasks. Returns their keys.
    """
    with store.read() as connection:
        stranded = connection.scalars(_STRANDED).all()
    for job_key in stranded:
        _end_stranded(store, job_key)
    return list(stranded)


@retried_when_undone
def _end_stranded(store: Store, job_key: int) -> None:
    with store.write() as connection:
        connection.execute(store.sql("lock_job"), {"job_key": job_key})
        if finish_jobs(connection, store, [job_key]):
            store.notify(connection)
        elif not connection.execute(_COUNT_TASKS, {"job_key": job_key}).scalar():
            reason = "The job's tasks were deleted from the store. Submit the job again."
            end_open_job(connection, store, job_key, RxRemoteJobStatus.FAILED, reason)


def _fail_runs(connection: Connection, store: Store, failed: Sequence[Any], error: str) -> None:
    """Give the error to those runs of failed tasks that have no result, and count the failed ones."""
    lost = [
        {"job_key": row.job_key, "run": run, "body": None, "error": reason, "traceback": None}
        for row in failed
        for reason in [error + _last_lines(connection, row.job_key, row.task)]
        for run in range(row.first_run, _end(connection, row))
    ]
    store.insert_many(connection, "insert_results", lost)
    for row in failed:
        if row.run_count > 1:
            last = row.first_run + row.run_count - 1
            found = {"of_job": row.job_key, "of_task": row.task, "first": row.first_run, "last": last}
            connection.execute(_RECOUNT, found)


def _end(connection: Connection, row: Any) -> int:
    """Return the number after a task's last run; somebody may have made it more than the job has."""
    run_count = connection.execute(_RUN_COUNT, {"job_key": row.job_key}).scalar()
    return min(int(row.first_run + row.run_count), int(run_count or 0))


def _last_lines(connection: Connection, job_key: int, task: int) -> str:
    said = connection.execute(_LAST_CHUNK, {"job_key": job_key, "of_task": task}).scalar()
    try:
        lines: list[str] = json.loads(said)[-LAST_LINES:] if said else []
        return " Its last console lines:\n    " + "\n    ".join(lines) if lines else ""
    except (ValueError, TypeError, RecursionError):  # somebody has changed them
        return ""
