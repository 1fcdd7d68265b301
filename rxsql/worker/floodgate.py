"""Halts children that write faster than the supervisor reads: captured output is memory, and must not fill it.

The zygote watches, because the supervisor may be waiting for its database.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

CHECK_SECONDS = 0.1
_HALT_BYTES = 128 * 2**20  # held by a child's files
_GO_ON_BYTES = _HALT_BYTES // 2
_BLOCK = 512


class Floodgate:
    """Knows the files of living children, and which children it has halted."""

    def __init__(self, signal_group: Callable[[int, int], None]) -> None:
        self._signal_group = signal_group
        self._files: dict[int, Collection[int]] = {}
        self._halted: set[int] = set()
        self._due = 0.0

    @property
    def timeout(self) -> float | None:
        """Seconds within which the next check should be; None when there is nothing to watch."""
        return CHECK_SECONDS if self._files else None

    def watch(self, pid: int, fds: Collection[int]) -> None:
        """Watch the files that a child's output goes to; they are this object's from now on."""
        self._files[pid] = fds

    def forget(self, pid: int) -> None:
        """Close the files of a child that has ended."""
        self._halted.discard(pid)
        for fd in self._files.pop(pid, ()):
            os.close(fd)

    def release(self, pid: int) -> None:
        """Let a child go on that is to hear a signal."""
        if pid in self._halted:
            self._halted.remove(pid)
            self._signal_group(pid, signal.SIGCONT)

    def check(self) -> None:
        """When it is time, halt the children whose files hold too much, and let those go on whose output was read."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + CHECK_SECONDS
        for pid, fds in self._files.items():
            held = sum(os.fstat(fd).st_blocks * _BLOCK for fd in fds)
            if held > _HALT_BYTES:
                self._halted.add(pid)
                self._signal_group(pid, signal.SIGSTOP)
            elif held < _GO_ON_BYTES:
                self.release(pid)
