"""The black box: how processes ended that died while they ran user code."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import sqlalchemy as sa

from rxsql.reports import Crash
from rxsql.store.readable import readable
from rxsql.store.retry import retried
from rxsql.store.tables import Key, crash_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from rxsql.store.engine import Store

_FACTS = [column for column in crash_rows.c if column.name != "worker_key"]
_OF_JOB = (
    sa.select(*_FACTS)
    .where(crash_rows.c.job_key == sa.bindparam("job_key", type_=Key))
    .order_by(crash_rows.c.died_at, crash_rows.c.task, crash_rows.c.attempt, crash_rows.c.run)
    .limit(sa.bindparam("page", type_=sa.Integer))
)


def add_crashes(connection: Connection, store: Store, worker_key: int, crashes: Sequence[Crash]) -> None:
    """Write down how processes of a worker ended; what is known already stays as it is."""
    rows = [
        {
            **{name: value for name, value in asdict(crash).items() if name != "died_at"},
            "worker_key": worker_key,
            "stacks": readable(crash.stacks),
            "last_lines": readable(crash.last_lines),
        }
        for crash in crashes
    ]
    store.insert_many(connection, "insert_crashes", rows)


@retried
def fetch_crashes(store: Store, job_key: int, *, limit: int) -> list[Crash]:
    """Return how processes ended that died in a job, the first one first."""
    with store.read() as connection:
        rows = connection.execute(_OF_JOB, {"job_key": job_key, "page": limit}).mappings()
        return [Crash(**row) for row in rows]
