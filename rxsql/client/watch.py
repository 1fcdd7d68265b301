"""Watches over a job that waits: is there a worker that can run it, and if not, what is to be done."""

from __future__ import annotations

import shlex
import time
import warnings
from typing import TYPE_CHECKING

from rxsql.client import autostart
from rxsql.errors import NoWorkerWarning
from rxsql.models import RxRemoteJobStatus
from rxsql.payload import PYTHON
from rxsql.store import jobs, workers

if TYPE_CHECKING:
    from rxsql.models import Job
    from rxsql.store.engine import Store

_FIRST_LOOK_SECONDS, _LOOK_SECONDS = 0.05, 1.0  # when, and how often, to see whether a worker is alive
_MOMENT_SECONDS = 5.0  # for which none may be, where there was one: it may be starting again
_WARN_SECONDS = 30.0  # how often to say that none is


def why_not_running(store: Store, job: Job) -> str | None:
    """Return why nobody runs an open job, and what to do about it; None where somebody does or can, or it has ended."""
    if job.status.is_final:
        return None
    reason = None if _starts_by_itself(store, job.python) else _lack_of_worker(store, job.python)
    return reason or _lack_of_slots(store, job)


def warn_if_stuck(store: Store, job_id: str, python: str, *, stacklevel: int) -> None:
    """Warn when no live worker can run a job; on a server, nobody but its people can start one.

    Args:
        store: The job's store.
        job_id: The job.
        python: The Python version it needs.
        stacklevel: Whose line the warning names, counted from the caller of this.
    """
    reason = None if _starts_by_itself(store, python) else _lack_of_worker(store, python)
    if reason is not None:
        warnings.warn(f"Job {job_id} waits: {reason}", NoWorkerWarning, stacklevel=stacklevel + 1)


class Watch:
    """Sees to it, while somebody waits for a job, that a worker runs it: starts one where that can be, or warns.

    Args:
        store: The job's store.
        job_id: The job.
        stacklevel: Whose line a warning names, counted from the caller of `look`.
    """

    def __init__(self, store: Store, job_id: str, *, stacklevel: int) -> None:
        self._store = store
        self._job_id = job_id
        self._stacklevel = stacklevel
        self._python: str | None = None
        self._since = time.monotonic()
        self._look_due = self._since + _FIRST_LOOK_SECONDS  # most jobs of a moment have ended by then
        self._warn_due = 0.0

    @property
    def due_in(self) -> float:
        """Seconds until it is time to look."""
        return max(0.0, self._look_due - time.monotonic())

    def look(self) -> None:
        """Look when it is time.

        Raises:
            WorkerStartError: The store is embedded, no worker is alive, and none could be started.
        """
        now = time.monotonic()
        if now < self._look_due:
            return
        due, self._look_due = self._look_due, now + _LOOK_SECONDS
        if self._python is None:
            self._python = jobs.get_job(self._store, self._job_id).python
        if _starts_by_itself(self._store, self._python):
            autostart.ensure_worker(self._store)
        elif (reason := _lack_of_worker(self._store, self._python)) is None:
            self._warn_due = now + _MOMENT_SECONDS
        elif time.monotonic() - due > _LOOK_SECONDS:  # an outage: the workers, too, come back only now
            self._warn_due = time.monotonic() + _MOMENT_SECONDS
        elif now >= self._warn_due:
            self._warn_due = now + _WARN_SECONDS
            # The time makes each warning new: Python shows the same text from the same line only once.
            waited = f" for {now - self._since:.0f} s" if now - self._since >= 1 else ""
            text = f"Job {self._job_id} waits{waited}: {reason}"
            warnings.warn(text, NoWorkerWarning, stacklevel=self._stacklevel + 1)


def _starts_by_itself(store: Store, python: str) -> bool:
    return store.dialect.embedded and python in (PYTHON, "")


def _lack_of_slots(store: Store, job: Job) -> str | None:
    if job.status is not RxRemoteJobStatus.QUEUED:
        return None
    count, taken = workers.count_slots(store, job.python)
    if taken < count or not count:
        return None
    them = "the only slot" if count == 1 else f"all {count} slots"
    return (
        f"other jobs have taken {them} of the live workers. It begins when one of their runs ends, or with another "
        f"worker: rxsql worker --store {shlex.quote(store.label)}"
    )


def _lack_of_worker(store: Store, python: str) -> str | None:
    if workers.has_live_worker(store, python):
        return None
    alive = sorted({worker.python for worker in workers.list_workers(store) if worker.is_alive})
    others = f"live workers run Python {', '.join(alive)}" if alive else "no worker is alive"
    if not python:  # a script
        return (
            f"it needs a worker on {store.label}, and {others}. "
            f"Start one: rxsql worker --store {shlex.quote(store.label)}"
        )
    return (
        f"it needs a worker with Python {python} on {store.label}, and {others}. "
        f"Start one with Python {python}: rxsql worker --store {shlex.quote(store.label)}"
    )
