"""What a job has given so far: outcomes and console lines, page by page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.reports import ConsoleChunk, Outcome
from rxsql.store import large
from rxsql.store.retry import retried
from rxsql.store.tables import Key, console_chunks, constant, results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rxsql.store.engine import Store

_OF_JOB = sa.bindparam("job_key", type_=Key)
_OUTCOMES = constant(
    sa.select(results.c.run, results.c.body, results.c.error, results.c.traceback)
    .where(results.c.job_key == _OF_JOB, results.c.run > sa.bindparam("after"))
    .order_by(results.c.run)
    .limit(sa.bindparam("page", type_=sa.Integer))
)
_FAILURES = constant(_OUTCOMES.where(results.c.error.is_not(None)))
_CONSOLE = constant(
    sa.select(
        console_chunks.c.chunk_key,
        console_chunks.c.task,
        console_chunks.c.run,
        console_chunks.c.attempt,
        console_chunks.c.stream,
        console_chunks.c.first_line,
        console_chunks.c.lines,
        console_chunks.c.partial,
    )
    .where(console_chunks.c.job_key == _OF_JOB, console_chunks.c.chunk_key > sa.bindparam("after"))
    .order_by(console_chunks.c.chunk_key)
    .limit(sa.bindparam("page", type_=sa.Integer))
)


@retried
def fetch_outcomes(store: Store, job_key: int, *, after: int, limit: int) -> list[Outcome]:
    """Return a page of a job's outcomes in the order of their runs."""
    with store.read() as connection:
        rows = connection.execute(_OUTCOMES, {"job_key": job_key, "after": after, "page": limit}).all()
    return _outcomes(store, rows)


def _outcomes(store: Store, rows: Sequence[Any]) -> list[Outcome]:
    """Return rows of results as outcomes; one whose value is gone from where it was apart says so."""
    sections = large.found(store, (row.body for row in rows))
    outcomes = []
    for row in rows:
        value, error = row.body, row.error
        if isinstance(value, str):
            section = sections.get(value)
            value = None if section is None else section.view()
            if section is None:
                what = f"The result of run {row.run}"
                error = error or f"PayloadError: {large.gone(store, what, row.body)}"
        outcomes.append(Outcome(row.run, value, error, row.traceback))
    return outcomes


@retried
def first_failure(store: Store, job_key: int) -> Outcome | None:
    """Return the first failed run's outcome."""
    with store.read() as connection:
        row = connection.execute(_FAILURES, {"job_key": job_key, "after": -1, "page": 1}).one_or_none()
    return None if row is None else _outcomes(store, [row])[0]


@retried
def fetch_console(store: Store, job_key: int, *, after: int, limit: int) -> list[tuple[int, ConsoleChunk]]:
    """Return a page of console chunks written after the chunk `after`, each with its key."""
    with store.read() as connection:
        return [
            (
                row.chunk_key,
                ConsoleChunk(
                    job_key,
                    row.task,
                    row.run,
                    row.attempt,
                    row.stream,
                    row.first_line,
                    "\n".join(json.loads(row.lines)),
                    bool(row.partial),
                ),
            )
            for row in connection.execute(_CONSOLE, {"job_key": job_key, "after": after, "page": limit}).all()
        ]
