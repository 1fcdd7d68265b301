"""Waits for a job: looks when the store hints at a change, shows lines and progress, watches over the worker."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

from rxsql.client.progress import ProgressBar
from rxsql.client.watch import Watch
from rxsql.errors import JobNotFoundError
from rxsql.store import jobs, outputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from rxsql.models import JobState
    from rxsql.reports import ConsoleChunk
    from rxsql.store.engine import Store

_LOOK_SECONDS = 0.5
_PAGE = 500
_NO_REST_SECONDS = 0.05
_LONGEST_REST_SECONDS = 0.05


def wait_for(store: Store, job_id: str, *, show_console: bool = False) -> JobState:
    """Wait until a job has ended; return where it stands then.

    Ctrl-C ends the wait, not the job, and says how to come back to it. While no live worker can run the job, a
    `NoWorkerWarning` says so, and whose line it names is the caller's caller's.

    Raises:
        JobNotFoundError: The store does not know the id.
    """
    try:
        return _wait(store, job_id, show_console=show_console)
    except KeyboardInterrupt:
        again = f"rxsql wait {job_id} --store {store.label}"
        print(f"\nThe job {job_id} goes on. Wait for it again: {again}", file=sys.stderr)
        raise


def _wait(store: Store, job_id: str, *, show_console: bool) -> JobState:
    tail = ConsoleTail(store, job_id) if show_console else None
    watch = Watch(store, job_id, stacklevel=4)
    begun = time.monotonic()
    with closing(store.wakeup()) as wakeup, ProgressBar(job_id) as bar:
        while True:
            job = jobs.job_state(store, job_id)
            if job is None:
                raise JobNotFoundError(job_id, store.label)
            if tail is not None:
                tail.show(lambda text, chunk: bar.write(text, chunk.stream))
            has_ended = job.status.is_final
            if bar.is_due or (bar.is_shown and has_ended):
                bar.update(jobs.get_job(store, job_id))
            if has_ended:
                return job
            watch.look()
            _rest(time.monotonic() - begun)
            wakeup.wait(min(_LOOK_SECONDS, watch.due_in))


def _rest(waited: float) -> None:
    """Leave the processor to the job after each look: for a hundredth of the wait, so that it gets hardly longer."""
    if waited > _NO_REST_SECONDS:
        time.sleep(min(_LONGEST_REST_SECONDS, waited / 100))


class ConsoleTail:
    """Reads a job's console lines from where the last reading ended."""

    def __init__(self, store: Store, job_id: str) -> None:
        self._store = store
        self._job_key = jobs.get_job(store, job_id).job_key
        self._after = 0

    def show(self, write: Callable[[str, ConsoleChunk], None] | None = None) -> None:
        """Write what is new, each chunk's text to the stream it came from."""
        while page := outputs.fetch_console(self._store, self._job_key, after=self._after, limit=_PAGE):
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
    return chunk.text + ("" if chunk.partial else "\n")
