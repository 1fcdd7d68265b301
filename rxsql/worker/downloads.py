"""Large inputs on their way from the store: a page at each turn, so that nothing else waits for a whole one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from rxsql.worker.damage import UNREADABLE, why_unusable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rxsql.worker.activejob import ActiveJob
    from rxsql.worker.dispatch import Dispatch
    from rxsql.worker.poller import Poller
    from rxsql.worker.reporter import Reporter


class Downloads:
    """The tasks whose input is not here yet; in the backlog of their job, no child gets them before it is."""

    def __init__(self, poller: Poller, reporter: Reporter, jobs: dict[int, ActiveJob]) -> None:
        self._poller = poller
        self._reporter = reporter
        self._jobs = jobs
        self._waiting: deque[Dispatch] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, dispatches: Iterable[Dispatch]) -> None:
        """Add those tasks whose input is still to be read."""
        self._waiting.extend([dispatch for dispatch in dispatches if dispatch.unread is not None])

    def step(self) -> None:
        """Read a page, if there is one, and after a task's last one let it be handed out.

        Raises:
            StoreError: The store is in trouble; the next step does the same again.
        """
        if not self._waiting:
            return
        dispatch = self._waiting[0]
        job = self._jobs.get(dispatch.task.job_key)
        pages = dispatch.unread
        if job is None or pages is None or not job.has_waiting(dispatch):
            self._waiting.popleft()  # it went back to the queue, or its job has ended
            return
        try:
            if not pages.step():
                return
            self._poller.give_input(job.item, dispatch, pages.spool)
            dispatch.unread = None
            if self._reporter.settle(job, dispatch):
                job.backlog.remove(dispatch)
        except UNREADABLE as error:
            self._reporter.failures.setdefault(dispatch.task.job_key, why_unusable(error))
        self._waiting.popleft()
