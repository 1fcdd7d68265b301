"""The workers' own rows: registering, heartbeat, and who is alive."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.models import Worker
from rxsql.store.retry import retried, retried_when_undone
from rxsql.store.tables import as_utc, constant, now, slots, workers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rxsql.store.engine import Store


_BEAT = constant(
    sa.update(workers)
    .where(workers.c.worker_key == sa.bindparam("key"), workers.c.stopped_at.is_(None))
    .values(heartbeat_at=now())
)
_HOLDERS = sa.select(slots.c.worker_key).distinct()
_TAKEN = sa.select(slots.c.worker_key, sa.func.sum(slots.c.slots)).group_by(slots.c.worker_key)


def this_host() -> str:
    """Return the name under which this machine's workers are listed."""
    return socket.gethostname()


@retried_when_undone
def register(
    store: Store, *, worker_id: str, python: str, version: str, slots: int, lease_seconds: float
) -> int:
    """List a new worker of this process; return its key."""
    row = {
        "worker_id": worker_id,
        "host": this_host(),
        "pid": os.getpid(),
        "python": python,
        "version": version,
        "slots": slots,
        "lease_seconds": lease_seconds,
    }
    with store.write() as connection:
        inserted = connection.execute(sa.insert(workers).values(row)).inserted_primary_key
    return int(inserted[0]) if inserted else 0


@retried_when_undone
def heartbeat(store: Store, worker_key: int) -> bool:
    """Renew a worker's lease; return False when it was taken for dead meanwhile."""
    with store.write(durable=False) as connection:
        return connection.execute(_BEAT, {"key": worker_key}).rowcount == 1


@retried_when_undone
def stop_if_idle(store: Store, worker_key: int) -> bool:
    """Take an idle worker off the list; return False when a job came in, and it must stay."""
    with store.write(durable=False) as connection:
        return (
            connection.execute(store.sql("stop_idle_worker"), {"worker_key": worker_key}).one_or_none()
            is not None
        )


@retried
def list_workers(store: Store) -> list[Worker]:
    """Return all workers, the newest first; one whose process is gone from this host is not alive."""
    with store.read() as connection:
        rows = connection.execute(store.sql("list_workers")).mappings()
        return [_worker(dict(row)) for row in rows]


def _worker(row: dict[str, object]) -> Worker:
    for name in ("started_at", "heartbeat_at", "stopped_at"):
        row[name] = as_utc(row[name])
    row["is_alive"] = bool(row["is_alive"]) and not _is_gone(row["host"], row["pid"])
    return Worker(**row)  # type: ignore[arg-type]


@retried
def has_live_worker(store: Store, python: str) -> bool:
    """Whether some live worker runs this Python minor version."""
    with store.read() as connection:
        rows = connection.execute(store.sql("live_workers"), {"python": python}).all()
    return any(not _is_gone(row.host, row.pid) for row in rows)


@retried
def count_slots(store: Store, python: str) -> tuple[int, int]:
    """Return how many slots the live workers of a Python minor version have, or of any (""), and how many are taken."""
    live = [w for w in list_workers(store) if w.is_alive and python in (w.python, "")]
    with store.read() as connection:
        taken = {row[0]: int(row[1]) for row in connection.execute(_TAKEN)}
    return sum(worker.slots for worker in live), sum(taken.get(worker.worker_key, 0) for worker in live)


def other_workers(store: Store, *, but: int) -> list[Worker]:
    """Return all workers but this one."""
    return [worker for worker in list_workers(store) if worker.worker_key != but]


def dead_workers(store: Store, others: Iterable[Worker]) -> list[Worker]:
    """Return workers that are not alive and were not taken back from; earlier ones with this process's number too.

    One that was taken for dead may have claimed once more before it noticed; then it is among them again.

    Args:
        store: Where.
        others: All workers but this process's own.
    """
    with store.read() as connection:
        holders = set(connection.scalars(_HOLDERS))
    own = (this_host(), os.getpid())
    return [
        worker
        for worker in others
        if (worker.stopped_at is None and (not worker.is_alive or (worker.host, worker.pid) == own))
        or (worker.stopped_at is not None and worker.worker_key in holders)
    ]


def _is_gone(host: object, pid: Any) -> bool:
    if host != this_host():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError, TypeError):  # no process has what a row may have as its number
        return True
    except PermissionError:  # it is there, and somebody else's
        return False
    return False
