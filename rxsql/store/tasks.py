"""The worker's operations on tasks: look for work, take slots, claim, report ends, give back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.models import OpenJob, RxRemoteJobStatus, Task
from rxsql.reports import Written
from rxsql.store import large, scripts
from rxsql.store.crashes import add_crashes
from rxsql.store.readable import json_lines, readable
from rxsql.store.retry import retried_when_undone
from rxsql.store.tables import Key, constant, inputs, jobs, now, results, slots, workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection

    from rxsql.reports import ConsoleChunk, Report, RunOutcome, TaskEnd
    from rxsql.sections import Section
    from rxsql.store.engine import Store
    from rxsql.store.large import Stored


_OF_JOB = sa.bindparam("job_key", type_=Key)
_OF_WORKER = sa.bindparam("worker_key", type_=Key)
_HELD_SLOTS = constant(sa.select(slots.c.worker_key, slots.c.slots).where(slots.c.job_key == _OF_JOB))
_START_JOB = constant(
    sa.update(jobs)
    .where(jobs.c.job_key == sa.bindparam("started_key"))
    .values(status=RxRemoteJobStatus.RUNNING.value, started_at=now())
)
_DROP_SLOTS = constant(sa.delete(slots).where(slots.c.job_key == _OF_JOB))
_DROP_OWN_SLOTS = constant(_DROP_SLOTS.where(slots.c.worker_key == _OF_WORKER))
# The body as it stands there: bytes, or the place of a large value.
_INPUTS = sa.select(inputs.c.task, sa.type_coerce(inputs.c.body, sa.types.NullType())).where(
    inputs.c.job_key == _OF_JOB, inputs.c.task.in_(sa.bindparam("tasks", expanding=True))
)
_RUNS_DONE = constant(
    sa.select(results.c.run, results.c.error).where(
        results.c.job_key == _OF_JOB, results.c.run.between(sa.bindparam("first"), sa.bindparam("last"))
    )
)
_COUNT_REPORT = constant(
    sa.update(workers)
    .where(workers.c.worker_key == sa.bindparam("key"), workers.c.last_report < sa.bindparam("number"))
    .values(last_report=sa.bindparam("number"))
)


def open_jobs(store: Store, worker_key: int, python: str, *, limit: int) -> list[OpenJob]:
    """Return the jobs this worker could work for, those with the fewest slots first; takes no lock."""
    parameters = {"worker_key": worker_key, "python": python, "limit": limit}
    with store.read() as connection:
        rows = connection.execute(store.sql("open_jobs"), parameters)
        return [OpenJob(row[0], _cap(row[1]), row[2], row[3], bool(row[4])) for row in rows]


def _cap(num_tasks: object) -> int:
    """Return how many slots a job may have, 0 for any number; what is none stands in no job's way to fail."""
    return max(0, num_tasks) if isinstance(num_tasks, int) else 0


@retried_when_undone
def claim(
    store: Store, worker_key: int, job_key: int, *, slots_wanted: int, limit: int, slots_held: int = 0
) -> tuple[int, list[Task]]:
    """Take slots on a job and claim its next tasks.

    Args:
        store: Where.
        worker_key: The claiming worker.
        job_key: The job.
        slots_wanted: How many children the worker would run for the job altogether.
        limit: How many tasks at most.
        slots_held: The slots it was granted before. Where these are what it wants, the job is not locked.

    Returns:
        The slots granted (fewer when the job's cap is reached, 0 when it has ended) and the tasks.
    """
    with store.write(durable=False) as connection:
        granted = slots_held
        if slots_held != slots_wanted:
            granted = _take_slots(connection, store, worker_key, job_key, slots_wanted)
        if granted == 0 or limit == 0:
            return granted, []
        parameters = {"worker_key": worker_key, "job_key": job_key, "limit": limit}
        rows = connection.execute(store.sql("claim_tasks"), parameters)
        return granted, sorted((Task(job_key, *row) for row in rows), key=lambda task: task.task)


def _take_slots(connection: Connection, store: Store, worker_key: int, job_key: int, wanted: int) -> int:
    job = connection.execute(store.sql("lock_job"), {"job_key": job_key}).one_or_none()
    if job is None:
        return 0
    held = {row[0]: row[1] for row in connection.execute(_HELD_SLOTS, {"job_key": job_key})}
    own = held.pop(worker_key, 0)
    cap = _cap(job.num_tasks)
    free = cap - sum(held.values()) if cap else wanted
    granted = max(0, min(wanted, free))
    if granted != own:
        connection.execute(
            store.sql("set_slots"), {"job_key": job_key, "worker_key": worker_key, "slots": granted}
        )
    if granted and job.status == RxRemoteJobStatus.QUEUED:
        connection.execute(_START_JOB, {"started_key": job_key})
    return granted


@retried_when_undone
def release_slots(store: Store, worker_key: int, job_key: int) -> None:
    """Give up a job's slots."""
    with store.write(durable=False) as connection:
        connection.execute(_DROP_OWN_SLOTS, {"job_key": job_key, "worker_key": worker_key})


def task_inputs(store: Store, job_key: int, tasks: Sequence[int]) -> dict[int, bytes | Section]:
    """Return the inputs of tasks that do not stand in the tasks' rows, as far as they are there."""
    with store.read() as connection:
        rows = connection.execute(_INPUTS, {"job_key": job_key, "tasks": list(tasks)}).all()
    sections = large.found(store, (row[1] for row in rows))
    return {
        task: sections[body] if isinstance(body, str) else body
        for task, body in rows
        if not isinstance(body, str) or body in sections
    }


def held_tasks(store: Store, worker_key: int) -> list[Task]:
    """Return the tasks a worker has claimed and not ended, without their inputs."""
    with store.read() as connection:
        rows = connection.execute(store.sql("held_tasks"), {"worker_key": worker_key})
        return [Task(row[0], row[1], row[2], row[3], row[4], None) for row in rows]


def runs_with_results(store: Store, job_key: int, task: Task) -> dict[int, str | None]:
    """Return the runs of a task that an earlier attempt has ended, each with its error."""
    parameters = {"job_key": job_key, "first": task.first_run, "last": task.first_run + task.run_count - 1}
    with store.read() as connection:
        return {row.run: row.error for row in connection.execute(_RUNS_DONE, parameters)}


def report(store: Store, worker_key: int, news: Report) -> Written:
    """Write back console lines, outcomes and ends of tasks in one transaction, and end the jobs that are done.

    Of tasks that this worker does not hold any more, nothing is written; a report sent again is written once.
    """
    with large.kept_results(store, news.outcomes) as stored:
        return _report(store, worker_key, news, stored)


@retried_when_undone
def _report(store: Store, worker_key: int, news: Report, stored: Stored) -> Written:
    durable = bool(news.outcomes or news.ends)
    touched = _touched(news)
    with store.write(durable=durable) as connection:
        # The job's row is the mutex of its writers: the last one sees that no task is open, and chunks appear in order.
        # An embedded store has one writer at a time.
        for job_key in () if store.dialect.embedded else sorted({entry[0] for entry in touched}):
            connection.execute(store.sql("lock_job"), {"job_key": job_key})
        held = _end_tasks(connection, store, worker_key, news.ends)
        others = touched - {(end.job_key, end.task, end.attempt) for end in news.ends}
        held |= _own_tasks(connection, store, worker_key, others)
        _insert_results(connection, store, [o for o in news.outcomes if (o.job_key, o.task) in held], stored)
        scripts.add_outputs(connection, store, [o for o in news.outcomes if (o.job_key, o.task) in held])
        chunks = [c for c in news.chunks if (c.job_key, c.task) in held]
        if chunks and _is_first_time(connection, worker_key, news.number):
            _insert_console(connection, store, chunks)
        add_crashes(connection, store, worker_key, news.crashes)  # a fact, also of what was taken from it
        ended = finish_jobs(connection, store, {end.job_key for end in news.ends})
        if ended or news.chunks:
            store.notify(connection)
    return Written(refused={(job_key, task) for job_key, task, _ in touched} - held, ended_jobs=ended)


def _is_first_time(connection: Connection, worker_key: int, number: int) -> bool:
    """Whether a report was not written before: console lines have no key by which to know them again."""
    return connection.execute(_COUNT_REPORT, {"key": worker_key, "number": number}).rowcount == 1


def finish_jobs(connection: Connection, store: Store, job_keys: Iterable[int]) -> set[int]:
    """End those jobs none of whose tasks is open, within a transaction that has locked them; return which."""
    ended = set()
    for job_key in job_keys:
        if connection.execute(store.sql("finish_job"), {"job_key": job_key}).one_or_none() is not None:
            connection.execute(_DROP_SLOTS, {"job_key": job_key})
            ended.add(job_key)
    return ended


def _touched(news: Report) -> set[tuple[int, int, int]]:
    entries: Iterable[ConsoleChunk | RunOutcome | TaskEnd] = (*news.chunks, *news.outcomes, *news.ends)
    return {(entry.job_key, entry.task, entry.attempt) for entry in entries}


def _end_tasks(
    connection: Connection, store: Store, worker_key: int, ends: Sequence[TaskEnd]
) -> set[tuple[int, int]]:
    if not ends:
        return set()
    rows = [[e.job_key, e.task, e.attempt, e.failed_runs, e.seconds, readable(e.error)] for e in ends]
    accepted = connection.execute(
        store.sql("end_tasks"), {"ends": json.dumps(rows), "worker_key": worker_key}
    )
    return {(row[0], row[1]) for row in accepted}


def _own_tasks(
    connection: Connection, store: Store, worker_key: int, tasks: Iterable[tuple[int, int, int]]
) -> set[tuple[int, int]]:
    wanted = list(tasks)
    if not wanted:
        return set()
    rows = connection.execute(store.sql("own_tasks"), {"tasks": json.dumps(wanted), "worker_key": worker_key})
    return {(row[0], row[1]) for row in rows}


def holds(connection: Connection, store: Store, worker_key: int, entry: RunOutcome) -> bool:
    """Whether a worker still holds a task, in that attempt; it does until the transaction ends."""
    return bool(_own_tasks(connection, store, worker_key, [(entry.job_key, entry.task, entry.attempt)]))


def _insert_results(
    connection: Connection, store: Store, outcomes: Sequence[RunOutcome], stored: Stored
) -> None:
    rows = [
        {
            "job_key": o.job_key,
            "run": o.outcome.run,
            "body": stored(o.outcome.value),
            "error": readable(o.outcome.error),
            "traceback": readable(o.outcome.traceback),
        }
        for o in outcomes
    ]
    store.insert_many(connection, "insert_results", rows)


def _insert_console(connection: Connection, store: Store, chunks: Sequence[ConsoleChunk]) -> None:
    rows = [
        {
            "job_key": chunk.job_key,
            "task": chunk.task,
            "run": chunk.run,
            "attempt": chunk.attempt,
            "stream": chunk.stream,
            "first_line": chunk.first_line,
            "lines": json_lines(chunk.text),
            "partial": int(chunk.partial),
        }
        for chunk in chunks
    ]
    store.insert_many(connection, "insert_console", rows)


@retried_when_undone
def release(store: Store, worker_key: int, tasks: Sequence[tuple[Task, int]]) -> None:
    """Give tasks back to the queue, each with the attempt count to go on from."""
    rows = [[task.job_key, task.task, task.attempt, attempt] for task, attempt in tasks]
    with store.write(durable=False) as connection:
        connection.execute(store.sql("release_tasks"), {"tasks": json.dumps(rows), "worker_key": worker_key})


@retried_when_undone
def end_job(store: Store, job_key: int, status: RxRemoteJobStatus, error: str | None) -> bool:
    """End an open job and its open tasks at once; return False when it had ended already."""
    with store.write() as connection:
        return end_open_job(connection, store, job_key, status, error)


def end_open_job(
    connection: Connection, store: Store, job_key: int, status: RxRemoteJobStatus, error: str | None
) -> bool:
    """`end_job` within a transaction."""
    parameters: dict[str, Any] = {"job_key": job_key, "status": status.value, "error": readable(error)}
    ended = connection.execute(store.sql("end_job"), parameters).one_or_none()
    if ended is None:
        return False
    connection.execute(store.sql("end_open_tasks"), parameters)
    connection.execute(_DROP_SLOTS, {"job_key": job_key})
    store.notify(connection)
    return True
