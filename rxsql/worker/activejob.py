"""A job as its worker sees it: what is claimed, who runs it, and how a process that ran it ended."""

from __future__ import annotations

import signal
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rxsql.models import WorkItem
    from rxsql.worker.pool import Child, Dispatch


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
        mean_seconds: The moving mean of its tasks' lengths; None before the first has ended.
        backlog: Tasks that are claimed and not handed out.
        children: The children that serve it, those that leave included.
        lost_children: How many died before they could run anything.
    """

    item: WorkItem
    begun_at: float
    deadline: float | None = None
    share: int = 0
    slots: int = 0
    more: bool = True
    mean_seconds: float | None = None
    backlog: deque[Dispatch] = field(default_factory=deque)
    children: list[Child] = field(default_factory=list)
    lost_children: int = 0

    @property
    def busy(self) -> bool:
        """Whether there is work in memory."""
        return bool(self.backlog) or any(child.in_flight for child in self.children)

    @property
    def dispatches(self) -> list[Dispatch]:
        """All its tasks that are here: those not handed out, and those that children have."""
        return [
            *self.backlog,
            *(dispatch for child in self.children for dispatch in child.in_flight.values()),
        ]

    @property
    def at_work(self) -> int:
        """How many children have something to do."""
        return sum(bool(child.in_flight) for child in self.children)


def describe_exit(code: int) -> str:
    """Say how a process ended.

    Example:
        >>> describe_exit(3)
        'exit code 3'
        >>> describe_exit(-9)
        'signal SIGKILL, probably out of memory'
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    likely = ", probably out of memory" if -code == signal.SIGKILL else ""
    return f"signal {name}{likely}"
