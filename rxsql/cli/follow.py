"""Follows a job while it runs: its status and what it writes, as they come."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from rxsql.cli import display
from rxsql.client.waiting import ConsoleTail
from rxsql.client.watch import Watch
from rxsql.errors import JobNotFoundError
from rxsql.models import RxRemoteJobStatus
from rxsql.store import jobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from rxsql.reports import ConsoleChunk
    from rxsql.store.engine import Store

_LOOK_SECONDS = 0.5


def follow(
    store: Store,
    job_id: str,
    *,
    on_text: Callable[[str, ConsoleChunk], None],
    on_status: Callable[[RxRemoteJobStatus], None] = lambda _: None,
) -> RxRemoteJobStatus:
    """Tell of a job's output and statuses until it has ended; return its last status.

    Raises:
        JobNotFoundError: The store does not know the id (any more).
    """
    tail = ConsoleTail(store, job_id)
    said: RxRemoteJobStatus | None = None
    watch = Watch(store, job_id, stacklevel=1)
    with display.warnings_as_notes(), closing(store.wakeup()) as wakeup:
        while True:
            status = jobs.job_status(store, job_id)
            if status is RxRemoteJobStatus.MISSING:
                raise JobNotFoundError(job_id, store.label)
            if status.is_final:  # all lines stand before the end
                tail.show(on_text)
            if status is not said:
                on_status(status)
                said = status
            if status.is_final:
                return status
            tail.show(on_text)
            watch.look()
            wakeup.wait(_LOOK_SECONDS)
