"""Scripts in the store: their text and parameters, and the pages of the tables that go in and come out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.errors import PayloadError
from rxsql.kinds import script_digest
from rxsql.scripts.pages import IN, Page, pack, unpack
from rxsql.settings import Settings
from rxsql.store.retry import retried
from rxsql.store.scripttables import frames, scripts
from rxsql.store.tables import Key
from rxsql.storename import redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from rxsql.kinds import NewScript
    from rxsql.models import RunOutcome
    from rxsql.store.engine import Store

_OF_JOB = sa.bindparam("job_key", type_=Key)
_SCRIPT = sa.select(scripts).where(scripts.c.job_key == _OF_JOB)
_PAGES = (
    sa.select(
        frames.c.task, frames.c.direction, frames.c.page, frames.c.row_count, frames.c.header, frames.c.body
    )
    .where(frames.c.job_key == _OF_JOB)
    .order_by(frames.c.direction, frames.c.task, frames.c.page)
)
_INPUT_PAGES = _PAGES.where(
    frames.c.direction == IN, frames.c.task.in_(sa.bindparam("tasks", expanding=True))
)
_OUTPUT_PAGES = _PAGES.where(frames.c.direction == sa.bindparam("direction"))
SILENT_SECONDS = 15.0  # for which a caller that waits in the database may not be heard of


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
    for task, packed in enumerate(script.frames):
        _add_pages(connection, store, job_key, task, unpack(packed))


def add_outputs(connection: Connection, store: Store, outcomes: Sequence[RunOutcome]) -> None:
    """Store the pages that scripts returned."""
    for entry in outcomes:
        if entry.is_pages and entry.outcome.value is not None:
            _add_pages(connection, store, entry.job_key, entry.task, unpack(entry.outcome.value))


def _add_pages(connection: Connection, store: Store, job_key: int, task: int, pages: Sequence[Page]) -> None:
    for page in pages:  # one at a time: each is as large as one statement should be
        row = {
            "job_key": job_key,
            "direction": page.direction,
            "task": task,
            "page": page.page,
            "row_count": page.row_count,
            "header": page.header,
            "body": page.body,
        }
        store.insert_many(connection, "insert_frames", [row])


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
    try:
        params = json.loads(row["params"])
    except ValueError:
        raise PayloadError(f"The parameters of the script are no JSON: {row['params'][:200]!r}.") from None
    parts = [row[name] for name in ("language", "script", "input_name", "output_name", "params")]
    spec: dict[str, Any] = {**row, "params": params, "loopback": loopback_of(store)}
    return StoredScript(json.dumps(spec).encode(), script_digest(*parts))


def loopback_of(store: Store) -> str | None:
    """Return the connection string that a script may have: the setting's, or the store's where no password is in it."""
    given = Settings.from_environment().loopback
    if given:
        return given
    return store.url if redacted(store.url) == store.url else None


def task_pages(store: Store, job_key: int, tasks: Sequence[int]) -> dict[int, bytes]:
    """Return the input pages of tasks, packed."""
    found: dict[int, list[Page]] = {}
    with store.read() as connection:
        for row in connection.execute(_INPUT_PAGES, {"job_key": job_key, "tasks": list(tasks)}):
            found.setdefault(row.task, []).append(_page(row))
    return {task: pack(pages) for task, pages in found.items()}


@retried
def fetch_pages(store: Store, job_key: int, direction: str) -> dict[int, list[Page]]:
    """Return a job's pages of one direction, by task."""
    found: dict[int, list[Page]] = {}
    with store.read() as connection:
        for row in connection.execute(_OUTPUT_PAGES, {"job_key": job_key, "direction": direction}):
            found.setdefault(row.task, []).append(_page(row))
    return found


def _page(row: Any) -> Page:
    return Page(row.direction, row.page, row.row_count, row.header, row.body)


def abandoned_jobs(store: Store) -> list[int]:
    """Return the open jobs whose callers waited in the database and went away."""
    with store.read() as connection:
        return list(connection.scalars(store.sql("abandoned_jobs"), {"silent_seconds": SILENT_SECONDS}))
