"""Large tables on their way into the store: a page at each turn, so that nothing else waits for a whole one."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from rxsql.errors import StoreError, StoreLockedError, StoreRefusedError, StoreUnreachableError
from rxsql.kinds import JobKind
from rxsql.pages import Spool
from rxsql.reports import Outcome, RunOutcome, TaskEnd
from rxsql.store.scripts import damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rxsql.pages import Page
    from rxsql.worker import wire
    from rxsql.worker.activejob import ActiveJob
    from rxsql.worker.poller import Poller

log = logging.getLogger("rxsql.worker")
Ended = tuple[RunOutcome, TaskEnd]


def returned(job: ActiveJob, message: wire.OutcomeMessage) -> tuple[bytes | memoryview | None, Spool | None]:
    """Return what a run gave: a payload, or of a script that went well a table.

    Raises:
        ValueError: A table comes from where there is none.
    """
    found = message.payload
    is_table = job.item.kind is not JobKind.FUNCTION and not message.failed
    if isinstance(found, Spool):
        if not is_table:
            raise ValueError("a table is no payload")
        return None, found
    return (None, Spool.of(found)) if is_table and found is not None else (found, None)


class _Upload:
    def __init__(self, entry: RunOutcome, pages: Spool, end: TaskEnd) -> None:
        self.entry = entry
        self.end = end
        self._pages = iter(pages)
        self._page: Page | None = None
        self.is_begun = self.is_plain = self.is_refused = False

    def page(self) -> Page | None:
        """Return the page that is to be written next: the same one until that is `done`; None after the last."""
        if self._page is None:
            self._page = next(self._pages, None)
        return self._page

    def done(self) -> None:
        """Go on to the next page."""
        self._page, self.is_begun = None, True

    def give_way(self, error: StoreError) -> None:
        """Write pages as they are where no table takes their rows; the run fails where the store refuses that, too.

        Raises:
            StoreError: The store is in trouble.
        """
        if not self.is_plain:
            self.is_plain = True
            job_key, task = self.entry.job_key, self.entry.task
            log.warning("result.untyped job_key=%d task=%d error=%s", job_key, task, error)
        elif isinstance(error, StoreRefusedError):
            self.refuse(error)
        else:
            raise error

    def refuse(self, error: StoreRefusedError) -> None:
        """Let the run fail; there is no page more."""
        log.warning("result.refused job_key=%d task=%d error=%s", self.entry.job_key, self.entry.task, error)
        reason = f"{type(error).__name__}: The result could not be stored. {error}"
        self.entry = replace(self.entry, outcome=Outcome(self.entry.outcome.run, None, reason))
        self.end = replace(self.end, failed_runs=1, error=reason)
        self._pages, self._page, self.is_refused = iter(()), None, True


class Uploads:
    """The results whose pages are not all written yet, and the ends of their tasks, which wait for them."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._waiting: deque[_Upload] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, entry: RunOutcome, pages: Spool, end: TaskEnd) -> None:
        """Add a result, and the end of its task."""
        self._waiting.append(_Upload(entry, pages, end))

    def ends(self) -> Iterator[TaskEnd]:
        """Yield the ends of tasks that wait."""
        return (upload.end for upload in self._waiting)

    def clear(self) -> None:
        """Forget them: others have these tasks now."""
        self._waiting.clear()

    def abandon(self) -> None:
        """Remove what is written, as the tasks go back to the queue as if they had never been begun."""
        while self._waiting:
            upload = self._waiting.popleft()
            if upload.is_begun:
                self._poller.add_pages(upload.entry, [], anew=True)

    def step(self) -> Ended | None:
        """Write a page; return the outcome and end that are to be reported after the last one.

        Raises:
            StoreError: The store is in trouble; the next step does the same again.
        """
        upload = self._waiting[0]
        page, is_held = None, True
        try:
            page = upload.page()
            if page is not None:
                anew = upload.entry.attempt > 1 and not upload.is_begun
                is_held = self._poller.add_pages(upload.entry, [page], anew=anew, are_plain=upload.is_plain)
                upload.done()
        except (StoreUnreachableError, StoreLockedError):
            raise
        except StoreError as error:
            upload.give_way(error)
        except (ValueError, OSError) as error:
            upload.refuse(damaged(upload.entry, error))
        if page is not None and is_held and not upload.is_refused:
            return None
        if upload.is_refused:
            self._poller.add_pages(upload.entry, [], anew=True)
        self._waiting.popleft()
        if is_held:
            return upload.entry, upload.end
        log.warning("task.lost job_key=%d task=%d", upload.entry.job_key, upload.entry.task)
        return None
