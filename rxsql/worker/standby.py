"""Keeps some children standing by, so that the next job pays no start-up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rxsql.worker.pool import Pool

_WANTED = 4  # children
_APART_SECONDS = 0.02


class Standby:
    """Forks children ahead of need: one after the other, and not while another starts or ends.

    Two of these at once would take the processors from whoever waits for a job. But where jobs follow each other, one
    is forked as soon as one is taken: put off, it would not be ready in time.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._due = self._taken_at = 0.0
        self._in_row = False  # whether the last ones were taken soon after each other

    def take(self) -> None:
        """Note that one was taken for a job."""
        now = time.monotonic()
        self._in_row = now - self._taken_at < _APART_SECONDS
        self._taken_at = now
        self.put_off()

    def put_off(self) -> None:
        """Fork none for a moment: a child starts, or was told to end."""
        self._due = 0.0 if self._in_row else time.monotonic() + _APART_SECONDS

    def go_on(self) -> None:
        """Fork again: that child has ended."""
        self._due = 0.0

    def fill(self) -> None:
        """Fork one that is missing, when it is time; at once where the next job would wait for it."""
        there = len(self._pool.standby())
        if there == 0 or (there < _WANTED and time.monotonic() >= self._due):
            self._pool.start()
            self.put_off()
