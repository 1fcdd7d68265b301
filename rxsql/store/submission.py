"""Puts a job with its function, inputs and tasks into the store, in one transaction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import sqlalchemy as sa

from rxsql.errors import JobExistsError
from rxsql.store import large, scripts, storedfunctions
from rxsql.store.retry import retried
from rxsql.store.tables import SHARED_INPUT, constant, jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from rxsql.models import NewJob
    from rxsql.store.engine import Store
    from rxsql.store.large import Body


_ADD_JOB = constant(sa.insert(jobs))


def add_job(store: Store, job: NewJob, *, inline_bytes: int) -> int:
    """Insert a job with all it needs; return its key.

    Args:
        store: Where to.
        job: The job; its tasks are numbered in their order.
        inline_bytes: Inputs up to this size stand in their task's row, larger ones in `inputs`.

    Raises:
        JobExistsError: The id is taken; nothing was stored.
    """
    tries = 0

    @retried
    def insert() -> int:
        nonlocal tries
        tries += 1
        try:
            return _insert(store, job, inputs, inline_bytes)
        except JobExistsError:
            # The try before may have been committed, and its answer lost with the connection.
            job_key = _key_of_same(store, job) if tries > 1 else None
            if job_key is None:
                raise
            return job_key

    apart = _apart(job, inline_bytes)
    with large.kept(store, ((job.job_id, body) for _, body in apart)) as stored:
        inputs = [(task, stored(body)) for task, body in apart]
        return insert()


def _apart(job: NewJob, inline_bytes: int) -> list[tuple[int, Body]]:
    """Return the inputs that do not stand in their task's row, each with the number of its task."""
    own = [(number, task.input) for number, task in enumerate(job.tasks)]
    shared = [] if job.shared_input is None else [(SHARED_INPUT, job.shared_input)]
    return [*((number, body) for number, body in own if body and len(body) > inline_bytes), *shared]


def _key_of_same(store: Store, job: NewJob) -> int | None:
    """Return the key of the stored job that has this one's id, where it is this one."""
    found = {
        "job_id": job.job_id,
        "function_hash": _hash(job),
        "context": job.context,
        "submitted_by": job.submitted_by,
        "run_count": job.run_count,
    }
    query = sa.select(jobs.c.job_key).where(*(jobs.c[name] == value for name, value in found.items()))
    with store.read() as connection:
        job_key: int | None = connection.scalar(query)
    return job_key


def _hash(job: NewJob) -> str:
    return storedfunctions.hash_of(job.function) if job.function else ""


def _insert(
    store: Store,
    job: NewJob,
    inputs: Sequence[tuple[int, bytes | memoryview | str | None]],
    inline_bytes: int,
) -> int:
    # Nobody misses a job that is lost with the call that was submitting it.
    with store.write_early() as connection:
        function_hash = storedfunctions.add(connection, store, job.function) if job.function else ""
        try:
            job_key = _add_row(connection, job, function_hash)
        except sa.exc.IntegrityError as error:
            raise JobExistsError(job.job_id) from error
        if job.script is not None:
            scripts.add_script(connection, store, job_key, job.script)
        rows = [{"job_key": job_key, "task": task, "body": body} for task, body in inputs]
        store.insert_many(connection, "insert_inputs", rows)
        _add_tasks(connection, store, job_key, job, inline_bytes)
        store.notify(connection)
    return job_key


def _add_row(connection: Connection, job: NewJob, function_hash: str) -> int:
    row = {
        "job_id": job.job_id,
        "name": job.name,
        "kind": job.kind.value,
        "run_count": job.run_count,
        "num_tasks": job.num_tasks,
        "max_attempts": job.max_attempts,
        "continue_on_failure": int(job.continue_on_failure),
        "has_inputs": int(job.has_inputs),
        "packages_to_load": json.dumps(job.packages_to_load),
        "execution_timeout_seconds": job.execution_timeout_seconds,
        "auto_cleanup": int(job.auto_cleanup),
        "console_output": int(job.console_output),
        "context": job.context,
        "python": job.python,
        "function_hash": function_hash,
        "signature": job.signature,
        "submitted_by": job.submitted_by,
    }
    inserted = connection.execute(_ADD_JOB, row).inserted_primary_key
    return int(inserted[0]) if inserted else 0


def _add_tasks(connection: Connection, store: Store, job_key: int, job: NewJob, inline_bytes: int) -> None:
    rows = [
        {
            "job_key": job_key,
            "task": number,
            "first_run": task.first_run,
            "run_count": task.run_count,
            "input": large.plain(task.input)
            if task.input is not None and len(task.input) <= inline_bytes
            else None,
        }
        for number, task in enumerate(job.tasks)
    ]
    store.insert_many(connection, "insert_tasks", rows)
