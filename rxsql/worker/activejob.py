"""A job as its worker sees it: what is claimed, and who runs it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from rxsql.worker import schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rxsql.models import WorkItem
    from rxsql.worker.dispatch import Dispatch
    from rxsql.worker.pool import Child


@dataclass(slots=True)
class ActiveJob:
    """A job this worker works for.

    Args:
        item: What the store says of the job.
        begun_at: When this worker began to work for it, on this process's clock.
        deadline: When its time is up, on the same clock.
        share: How many children it should have here.
        slots: How many it may have here, as the store was told.
        more: Whether the store has queued tasks of it, as far as this worker knows.
        is_careful: Whether it has tasks that were tried before. Nobody knows which of them killed their worker, so no
            more of them are claimed than can run: only who was executing is blamed next time.
        mean_seconds: The moving mean of its tasks' lengths; None before the first has ended.
        backlog: Tasks that are claimed and not handed out.
        children: The children that serve it, those that leave included.
        lost_children: How many died, one after the other, before they could run anything.
    """

    item: WorkItem
    begun_at: float
    deadline: float | None = None
    share: int = 0
    slots: int = 0
    more: bool = True
    is_careful: bool = False
    mean_seconds: float | None = None
    backlog: deque[Dispatch] = field(default_factory=deque)
    children: list[Child] = field(default_factory=list)
    lost_children: int = 0

    @classmethod
    def begin(cls, item: WorkItem) -> Self:
        """Return a job whose time begins to run, or goes on, now."""
        now = time.monotonic()
        return cls(item, now, None if item.seconds_left is None else now + item.seconds_left)

    def hand_to(self, child: Child) -> bool:
        """Give a child the next task whose input is here; return whether it took one."""
        for dispatch in self.backlog:
            if dispatch.unread is None:
                break
        else:
            return False
        if not child.give(dispatch):
            return False
        self.backlog.remove(dispatch)
        return True

    def has_waiting(self, dispatch: Dispatch) -> bool:
        """Whether a task is here and not handed out."""
        return any(other is dispatch for other in self.backlog)

    @property
    def busy(self) -> bool:
        """Whether there is work in memory."""
        return bool(self.backlog) or any(child.in_flight for child in self.children)

    @property
    def idle_share(self) -> int:
        """How many of its children have nothing to do, and nothing waiting for them."""
        return max(0, self.share - self.at_work - len(self.backlog))

    @property
    def wanted(self) -> int:
        """How many tasks to claim now; 0 while there are enough in memory."""
        if not (self.more and self.share):
            return 0
        if self.is_careful:
            return self.idle_share
        limit = schedule.claim_limit(self.share, self.mean_seconds)
        wanted = limit - len(self.backlog)
        return wanted if wanted > limit // 2 else 0

    def take_in(self, claimed: Sequence[Dispatch]) -> list[Dispatch]:
        """Take what was claimed; return those that go back to the queue, because they are tried again one by one."""
        tried = [dispatch for dispatch in claimed if dispatch.task.attempt > 1]
        surplus = tried[self.idle_share :]
        self.is_careful = bool(tried)
        self.more = self.more or bool(surplus)
        back = {dispatch.number for dispatch in surplus}
        self.backlog.extend(dispatch for dispatch in claimed if dispatch.number not in back)
        return surplus

    @property
    def is_overdue(self) -> bool:
        """Whether its time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def dispatches(self) -> list[Dispatch]:
        """All its tasks that are here: those not handed out, and those that children have."""
        return [
            *self.backlog,
            *(dispatch for child in self.children for dispatch in child.in_flight.values()),
        ]

    @property
    def in_memory(self) -> int:
        """How many tasks are here, of those that children have only the ones they are in."""
        return len(self.backlog) + self.at_work

    @property
    def entitled(self) -> int:
        """How many children it may have now."""
        return min(self.share, self.slots)

    @property
    def workforce(self) -> int:
        """How many children it has, but for those that were told to end."""
        return sum(not child.stopping for child in self.children)

    @property
    def surplus(self) -> int:
        """How many of them are to leave, so that other jobs can have their places."""
        return max(0, self.workforce - self.entitled)

    @property
    def at_work(self) -> int:
        """How many children have something to do."""
        return sum(bool(child.in_flight) for child in self.children)
