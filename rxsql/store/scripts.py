"""Scripts in the store: their text and parameters, and the pages of the tables that go in and come out."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.errors import PayloadError, StoreRefusedError
from rxsql.kinds import script_digest
from rxsql.pages import IN, Page, Spool
from rxsql.settings import Settings
from rxsql.store.jobtables import with_bodies
from rxsql.store.retry import retried
from rxsql.store.scripttables import frames, scripts
from rxsql.store.tables import Key, constant
from rxsql.storename import redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy.engine import Connection

    from rxsql.kinds import NewScript
    from rxsql.reports import RunOutcome
    from rxsql.store.engine import Store

_OF_JOB = sa.bindparam("job_key", type_=Key)
_SCRIPT = sa.select(scripts).where(scripts.c.job_key == _OF_JOB)
_OF_TABLES = sa.and_(frames.c.job_key == _OF_JOB, frames.c.direction == sa.bindparam("direction"))
_DROP_OUTPUTS = constant(
    sa.delete(frames).where(
        frames.c.job_key == _OF_JOB, frames.c.task == sa.bindparam("task"), frames.c.direction != IN
    )
)
_IN_ORDER = (frames.c.task, frames.c.page)
_LIST = sa.select(frames.c.task, frames.c.page, frames.c.row_count).where(_OF_TABLES).order_by(*_IN_ORDER)
_LIST_OF_TASKS = _LIST.where(frames.c.task.in_(sa.bindparam("tasks", expanding=True)))
_PAGES = (
    sa.select(
        frames.c.task, frames.c.direction, frames.c.page, frames.c.row_count, frames.c.header, frames.c.body
    )
    .where(
        _OF_TABLES,
        frames.c.task.between(sa.bindparam("first_task"), sa.bindparam("last_task")),
        sa.or_(frames.c.task > sa.bindparam("first_task"), frames.c.page >= sa.bindparam("first_page")),
        sa.or_(frames.c.task < sa.bindparam("last_task"), frames.c.page <= sa.bindparam("last_page")),
    )
    .order_by(*_IN_ORDER)
)
_TASK = attrgetter("task")
_ROWS_AT_ONCE = 10_000  # as many as a page has: small pages are read together


def add_script(connection: Connection, store: Store, job_key: int, script: NewScript) -> None:
    """Store a new job's script and the input pages of its tasks."""
    row = {
        "job_key": job_key,
        "language": script.language,
        "script": script.script,
        "input_name": script.input_name,
        "output_name": script.output_name,
        "params": script.params,
    }
    connection.execute(sa.insert(scripts), row)
    for task, pages in enumerate(script.frames):
        add_pages(connection, store, job_key, task, pages)


def add_outputs(connection: Connection, store: Store, outcomes: Sequence[RunOutcome]) -> None:
    """Store the pages that scripts returned.

    Raises:
        StoreRefusedError: These are no pages: the script has got at what its process sends.
    """
    for entry in outcomes:
        if entry.pages is None:
            continue
        if entry.attempt > 1:  # the one before may have been killed while it wrote a large table
            drop_outputs(connection, entry)
        try:
            add_pages(connection, store, entry.job_key, entry.task, entry.pages)
        except (ValueError, OSError) as error:
            raise damaged(entry, error) from None


def damaged(entry: RunOutcome, why: Exception) -> StoreRefusedError:
    """Return the error of pages that are none: the script has got at what its process sends."""
    return StoreRefusedError(f"The table that run {entry.outcome.run} returned is damaged: {why}.")


def drop_outputs(connection: Connection, entry: RunOutcome) -> None:
    """Remove the pages that a task has returned so far."""
    connection.execute(_DROP_OUTPUTS, {"job_key": entry.job_key, "task": entry.task})


def add_pages(connection: Connection, store: Store, job_key: int, task: int, pages: Iterable[Page]) -> None:
    """Store pages of a task; those that are there stay as they are."""
    for page in pages:  # one at a time: each is as large as one statement should be
        row = {**_row(job_key, task, page), "direction": page.direction}
        store.insert_many(connection, "insert_frames", [row])


def add_large_output(connection: Connection, store: Store, job_key: int, task: int, page: Page) -> None:
    """Store a page of a large result, with its rows in a table of the job's own where SQL is to read them."""
    connection.execute(store.sql("insert_output"), _row(job_key, task, page))


def _row(job_key: int, task: int, page: Page) -> dict[str, Any]:
    return {
        "job_key": job_key,
        "task": task,
        "page": page.page,
        "row_count": page.row_count,
        "header": page.header,
        "body": page.body,
    }


@dataclass(frozen=True, slots=True)
class StoredScript:
    """A job's script: what a child must know of it, as JSON, and the hash that is signed."""

    spec: bytes
    digest: str


def load_script(store: Store, job_key: int) -> StoredScript:
    """Return a job's script.

    Raises:
        PayloadError: Somebody deleted or changed it; the job cannot be run.
    """
    with store.read() as connection:
        row = connection.execute(_SCRIPT, {"job_key": job_key}).mappings().one_or_none()
    if row is None:
        raise PayloadError("The job's script was deleted from the store. Submit the job again.")
    parts = [row[name] for name in ("language", "script", "input_name", "output_name", "params")]
    if any(isinstance(part, bytes) for part in parts):  # SQLite lets them into columns of text
        raise PayloadError(
            "The script, its parameters or a name are bytes and no text. Submit the job as text."
        )
    try:
        params = json.loads(row["params"])
    except (ValueError, TypeError, RecursionError):
        raise PayloadError(
            f"The parameters of the script are no JSON: {str(row['params'])[:200]!r}."
        ) from None
    spec: dict[str, Any] = {**row, "params": params, "loopback": loopback_of(store)}
    return StoredScript(json.dumps(spec).encode(), script_digest(*parts))


def loopback_of(store: Store) -> str | None:
    """Return the connection string that a script may have: the setting's, or the store's where no password is in it."""
    given = Settings.from_environment().loopback
    if given:
        return given
    return store.url if redacted(store.url) == store.url else None


class InputPages:
    """A task's input on its way here, page by page."""

    def __init__(self, store: Store, job_key: int, listed: Sequence[Any]) -> None:
        self._store = store
        self._job_key = job_key
        self._listed = deque(listed)
        self._spool = Spool()
        self._is_whole = True

    def step(self) -> bool:
        """Read the next page; return whether that was the last one.

        Raises:
            PayloadError: Somebody changed the table that they stand in; the job cannot be run.
            StoreError: The store is in trouble; the next step reads the same page.
        """
        pages = _read(self._store, self._job_key, IN, [self._listed[0]])
        self._listed.popleft()
        for _, page in pages:
            self._spool.add(page)
        self._is_whole = self._is_whole and bool(pages) and all(page.body for _, page in pages)
        return not self._listed

    @property
    def spool(self) -> Spool | None:
        """The pages that were read; None where rows are gone."""
        return self._spool if self._is_whole else None


def task_pages(store: Store, job_key: int, tasks: Sequence[int]) -> dict[int, Spool | InputPages]:
    """Return the input of tasks: of small ones the pages, of others what reads them; nothing where rows are gone.

    Args:
        store: Where they are.
        job_key: Their job.
        tasks: The tasks.

    Raises:
        PayloadError: Somebody changed the table that they stand in; the job cannot be run.
    """
    found: dict[int, Spool | InputPages] = {}
    small: list[Any] = []
    rows = 0
    for task, listed in groupby(_list(store, _LIST_OF_TASKS, job_key, IN, tasks=list(tasks)), _TASK):
        first, *more = listed
        rows += first.row_count
        if more or rows > _ROWS_AT_ONCE:
            found[task] = InputPages(store, job_key, [first, *more])
        else:
            small.append(first)
    for batch in _batches(small):
        found |= {task: Spool([page]) for task, page in _read(store, job_key, IN, batch) if page.body}
    return found


def fetch_pages(store: Store, job_key: int, direction: str) -> Iterator[tuple[int, Page]]:
    """Yield a job's pages of one direction, each with its task, in their order; few are in memory at once.

    Raises:
        PayloadError: Somebody removed or changed the table that they stand in.
    """
    for batch in _batches(retried(_list)(store, _LIST, job_key, direction)):
        for task, page in retried(_read)(store, job_key, direction, batch):
            if not page.body:
                raise PayloadError(f"The table that run {task} returned is not in the store any more.")
            yield task, page


def _list(store: Store, query: Any, job_key: int, direction: str, **tasks: Any) -> list[Any]:
    with store.read() as connection:
        return connection.execute(query, {"job_key": job_key, "direction": direction, **tasks}).all()  # type: ignore[return-value]


def _batches(listed: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield the listed pages in parts without gaps, of as many rows as may be in memory at once, or of one page.

    The pages of a table that has several are full, of rows or of characters: each is a part of its own.
    """
    batch: list[Any] = []
    rows = 0
    for entry in listed:
        is_far = bool(batch) and entry.task > batch[-1].task + 1
        if batch and (is_far or entry.page > 0 or rows + entry.row_count > _ROWS_AT_ONCE):
            yield batch
            batch, rows = [], 0
        batch.append(entry)
        rows += entry.row_count
    if batch:
        yield batch


def _read(store: Store, job_key: int, direction: str, batch: Sequence[Any]) -> list[tuple[int, Page]]:
    bounds = {
        "job_key": job_key,
        "direction": direction,
        "first_task": batch[0].task,
        "first_page": batch[0].page,
        "last_task": batch[-1].task,
        "last_page": batch[-1].page,
    }
    with store.read() as connection:
        rows = connection.execute(_PAGES, bounds).all()
        return with_bodies(connection, store, bounds, [(row.task, _page(row)) for row in rows])


def _page(row: Any) -> Page:
    if isinstance(row.header, bytes) or isinstance(row.body, bytes):  # SQLite lets them into columns of text
        raise PayloadError(f"Page {row.page} of the table of task {row.task} is bytes and no text.")
    return Page(row.direction, row.page, row.row_count, row.header, row.body)


def abandoned_jobs(store: Store, silent_seconds: float) -> list[int]:
    """Return the open jobs whose callers waited in the database, and have not been heard of for so long."""
    with store.read() as connection:
        return list(connection.scalars(store.sql("abandoned_jobs"), {"silent_seconds": silent_seconds}))
