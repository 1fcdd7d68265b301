"""How children that start or end give way to whoever waits for a job.

All have the same priority, as only root may raise what it has lowered. So they keep to half of the processors, which
leaves the others a free one, and let them go first between their steps.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_CAN_CHOOSE = hasattr(os, "sched_setaffinity")  # not on macOS


def give_way() -> None:
    """Let those go first who wait for this processor."""
    os.sched_yield()


def processors_of(pid: int) -> Collection[int]:
    """Return the processors that a process may use; none where the system does not tell."""
    try:
        return os.sched_getaffinity(pid) if _CAN_CHOOSE else ()
    except OSError:  # it has ended
        return ()


def keep_to_half() -> None:
    """Use half of this process's processors from now on, at least one."""
    mine = sorted(processors_of(0))
    keep_to(mine[len(mine) // 2 :])


def keep_to(processors: Collection[int]) -> None:
    """Use these processors from now on, as far as they are still there."""
    try:
        if processors:
            os.sched_setaffinity(0, processors)
    except OSError:
        return
