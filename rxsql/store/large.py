"""Large values, where a store keeps them apart from its rows: in the row stands the place, as text."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeGuard

import sqlalchemy as sa

from rxsql.sections import Pieces
from rxsql.store.tables import jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from contextlib import AbstractContextManager

    from rxsql.reports import RunOutcome
    from rxsql.sections import Section
    from rxsql.store.dialects.valuefiles import ValueFiles
    from rxsql.store.engine import Store

    Body = bytes | memoryview | Pieces
    StoredBody = bytes | memoryview | str | None
    Stored = Callable[[Body | None], StoredBody]

LEAST_BYTES = 2**20

_JOB_IDS = sa.select(jobs.c.job_key, jobs.c.job_id).where(
    jobs.c.job_key.in_(sa.bindparam("job_keys", expanding=True))
)
_KEPT = sa.select(jobs.c.job_id).where(
    jobs.c.job_id.in_(sa.bindparam("job_ids", expanding=True)), jobs.c.purged_at.is_(None)
)


def kept(store: Store, bodies: Iterable[tuple[str, Body | None]]) -> AbstractContextManager[Stored]:
    """Keep the large ones of values apart, before their transaction; remove them again when that fails.

    Args:
        store: Whose values.
        bodies: Each with the id of its job.

    Returns:
        What lends a function that gives for a value that which stands in its row.

    Raises:
        StoreError: They cannot be written.
    """
    large = [(job_id, body) for job_id, body in bodies if _is_large(body)]
    files = store.dialect.values
    return nullcontext(plain) if files is None or not large else _kept(files, large)


@contextmanager
def _kept(files: ValueFiles, bodies: Iterable[tuple[str, Body]]) -> Iterator[Stored]:
    of_job: dict[str, list[Body]] = {}
    for job_id, body in bodies:
        if files.takes(job_id):
            of_job.setdefault(job_id, []).append(body)
    places: dict[int, str] = {}
    try:
        for job_id, own in of_job.items():
            places.update(zip(map(id, own), files.write(job_id, own), strict=True))
        yield lambda body: places.get(id(body)) or plain(body)
    except Exception:
        for place in places.values():
            files.remove(place)
        raise


def _is_large(body: Body | None) -> TypeGuard[Body]:
    return body is not None and len(body) >= LEAST_BYTES


def plain(body: Body | None) -> bytes | memoryview | None:
    """Return a value as a database's driver takes it."""
    return bytes(body) if isinstance(body, Pieces) else body


def kept_results(store: Store, outcomes: Iterable[RunOutcome]) -> AbstractContextManager[Stored]:
    """Keep the large ones of results apart: `kept`, for the results of one report."""
    values = [(entry.job_key, entry.outcome.value) for entry in outcomes]
    large = [(job_key, value) for job_key, value in values if _is_large(value)]
    keys = {job_key for job_key, _ in large} if store.dialect.values else set()
    ids = _job_ids(store, keys) if keys else {}
    return kept(store, [(ids[job_key], value) for job_key, value in large if job_key in ids])


def _job_ids(store: Store, job_keys: Collection[int]) -> dict[int, str]:
    with store.read() as connection:
        return {row[0]: row[1] for row in connection.execute(_JOB_IDS, {"job_keys": list(job_keys)})}


def found(store: Store, stored: Iterable[object]) -> dict[str, Section]:
    """Return the values that stand apart, by what stands in the row; those whose file is gone are not among them."""
    files = store.dialect.values
    return files.sections({place for place in stored if isinstance(place, str)}) if files else {}


def gone(store: Store, what: str, stored: str) -> str:
    """Say what it means that a value is not found."""
    files = store.dialect.values
    if files is None or not files.is_place(stored):
        return f"{what} is no bytes: {stored[:100]!r}. Submit the job again."
    return (
        f"{what} is not in {files.folder}, where the store keeps large values, as {stored}: who moves or copies the "
        "store must take that folder along. Submit the job again."
    )


def drop(store: Store, job_id: str) -> None:
    """Remove what a job has apart, after a commit that removed the rows."""
    if store.dialect.values:
        store.dialect.values.drop(job_id)


def drop_strays(store: Store) -> None:
    """Remove values that no job has any more: of submissions and removals that were killed half-way."""
    files = store.dialect.values
    if files is None:
        return
    strays = files.strays()
    while strays:
        some, strays = strays[:500], strays[500:]
        with store.read() as connection:
            known = set(connection.scalars(_KEPT, {"job_ids": some}))
        for job_id in set(some) - known:
            files.drop(job_id)
