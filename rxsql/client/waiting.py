"""Waits for a job: looks when the store hints at a change, shows lines and progress, keeps a worker alive."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

from rxsql.client import autostart
from rxsql.client.progress import ProgressBar
from rxsql.errors import JobNotFoundError
from rxsql.models import RxRemoteJobStatus
from rxsql.store import jobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from rxsql.models import ConsoleChunk
    from rxsql.store.engine import Store

_LOOK_SECONDS = 0.5
_WORKER_SECONDS = 1.0  # how often to see whether a worker is alive
_PAGE = 500


def wait_for(store: Store, job_id: str, *, show_console: bool = False) -> RxRemoteJobStatus:
    """Wait until a job has ended; return its status.

    Ctrl-C ends the wait, not the job, and says how to come back to it.

    Raises:
        JobNotFoundError: The store does not know the id.
    """
    try:
        return _wait(store, job_id, show_console=show_console)
    except KeyboardInterrupt:
        again = f"rxsql wait {job_id} --store {store.label}"
        print(f"\nThe job {job_id} goes on. Wait for it again: {again}", file=sys.stderr)
        raise


def _wait(store: Store, job_id: str, *, show_console: bool) -> RxRemoteJobStatus:
    tail = ConsoleTail(store, job_id) if show_console else None
    with closing(store.wakeup()) as wakeup, ProgressBar(job_id) as bar:
        worker_due = time.monotonic() + _WORKER_SECONDS
        while True:
            status = jobs.job_status(store, job_id)
            if status is RxRemoteJobStatus.MISSING:
                raise JobNotFoundError(job_id, store.label)
            if tail is not None:
                tail.show(lambda text, chunk: bar.write(text, chunk.stream))
            if bar.is_due or (bar.is_shown and status.is_final):
                bar.update(jobs.get_job(store, job_id))
            if status.is_final:
                return status
            if time.monotonic() >= worker_due:
                autostart.ensure_worker(store)
                worker_due = time.monotonic() + _WORKER_SECONDS
            wakeup.wait(_LOOK_SECONDS)


class ConsoleTail:
    """Reads a job's console lines from where the last reading ended."""

    def __init__(self, store: Store, job_id: str) -> None:
        self._store = store
        self._job_key = jobs.get_job(store, job_id).job_key
        self._after = 0

    def show(self, write: Callable[[str, ConsoleChunk], None] | None = None) -> None:
        """Write what is new, each chunk's text to the stream it came from."""
        while page := jobs.fetch_console(self._store, self._job_key, after=self._after, limit=_PAGE):
            for chunk_key, chunk in page:
                self._after = chunk_key
                (write or _to_stream)(text_of(chunk), chunk)
            if len(page) < _PAGE:
                return


def _to_stream(text: str, chunk: ConsoleChunk) -> None:
    stream = sys.stdout if chunk.stream == "stdout" else sys.stderr
    stream.write(text)
    stream.flush()


def text_of(chunk: ConsoleChunk) -> str:
    """Return a chunk's text exactly as it was written."""
    return "\n".join(chunk.lines) + ("" if chunk.partial else "\n")
