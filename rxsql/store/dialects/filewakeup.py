"""The hint of the embedded store: somebody has written to its log, and has committed."""

from __future__ import annotations

import os
import select
import sqlite3
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from pathlib import Path

    from rxsql.store.dialects.direct import Connections

# Seconds between looks for the commit of what was written: mostly it is seen when the disk is synced, after less than a
# millisecond. As long a share of the time may pass for which it was waited, or for which nothing had been written.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.1
_SHARE_OF_WAIT, _SHARE_OF_QUIET, _QUIET_PAUSE = 0.25, 0.01, 0.005
# Where nothing hints at a commit: the system has no watches, or one who writes at the same time hides another.
_POLL_PAUSE, _POLL_GROWTH = 0.005, 1.25
_UNHINTED_PAUSE, _UNHINTED_GROWTH = 0.002, 2.0
_HINT_SECONDS = 60.0  # after which what was written is taken for undone
_DOUBT_SECONDS = 0.01  # for which one who wrote may have another commit under way than the one that is seen
_EVENTS_BYTES = 65536


class FileWakeup:
    """Watches the write-ahead log: inotify says early that something was written, `data_version` that it is committed.

    Where there is no inotify, `data_version` is polled; it costs microseconds.
    """

    def __init__(self, path: Path, connections: Connections, idle: list[FileWakeup]) -> None:
        self._connections = connections
        self._idle = idle
        self._seen: dict[int, int] = {}
        self.changed()  # opens the store, so that the log is there to be watched
        self._watch = _watch(path)
        self._written_at = time.monotonic()  # as far as is known
        self._hinted_at: float | None = None  # when somebody else wrote
        self._seen_since = False  # whether a commit was seen after that
        # The longer nothing had been written before that, the less it matters when its commit is seen.
        self._quiet_pause = 0.0
        self._own_writes = connections.writes
        self._is_mixed = False  # whether the last hint was of own writing, which may hide somebody else's

    def fileno(self) -> int | None:
        """Return the inotify descriptor."""
        return None if self._watch is None else self._watch.fileno()

    def changed(self) -> bool:
        """Whether somebody else has committed since the last call.

        `data_version` counts the commits of other connections. A process with one thread has one connection in
        use, so its own commits are none of them.
        """
        try:
            connection = self._connections.take()
            try:
                version = int(connection.raw.execute("PRAGMA data_version").fetchone()[0])
            finally:
                self._connections.give_back(connection)
        except (sqlite3.Error, sa.exc.DBAPIError):
            return True  # the store cannot be read: the look that follows says why
        seen = self._seen.get(id(connection.raw))
        self._seen[id(connection.raw)] = version
        if version == seen:
            return False
        self._seen_since = True
        return True

    @property
    def look_in(self) -> float | None:
        """Seconds until a look for the commit of what somebody else wrote; None where none is under way."""
        if self._hinted_at is None:
            return None
        waited = time.monotonic() - self._hinted_at
        if waited > (_DOUBT_SECONDS if self._seen_since else _HINT_SECONDS):
            self._hinted_at = None
            return None
        return max(_FIRST_PAUSE, min(_LONGEST_PAUSE, _SHARE_OF_WAIT * waited))

    @property
    def _is_awaited(self) -> bool:
        return self.look_in is not None and not self._seen_since

    def wait(self, seconds: float) -> bool:
        """Wait for somebody else's commit, at most `seconds`."""
        end = time.monotonic() + seconds
        self.drain()
        pause = self._first_pause()
        while not self.changed():
            left = end - time.monotonic()
            if left <= 0:
                return False
            if self._watch is None:
                time.sleep(min(left, pause))
                pause = min(_POLL_PAUSE, pause * _POLL_GROWTH)
            elif self._is_awaited:  # the log is not watched then: each page that is written would wake us
                time.sleep(min(left, max(self.look_in or 0.0, self._quiet_pause)))
            elif select.select([self._watch], [], [], min(left, pause))[0]:
                self.drain()
            else:
                pause = min(_LONGEST_PAUSE, pause * _UNHINTED_GROWTH)
        self._read_watch()  # what was written for the change that is seen now
        return True

    def _first_pause(self) -> float:
        if self._watch is None:
            return _FIRST_PAUSE
        is_deaf = self._own_writes != self._connections.writes  # on some file systems nobody hears of a write
        is_sure = self.look_in is None and not self._is_mixed and not is_deaf
        return _LONGEST_PAUSE if is_sure else _UNHINTED_PAUSE

    def drain(self) -> None:
        """Make the descriptor unreadable until somebody writes again, and note when somebody else has."""
        if not self._read_watch():
            return
        before, self._written_at = self._written_at, time.monotonic()
        self._is_mixed = self._own_writes != self._connections.writes
        if not self._is_mixed:
            self._hinted_at, self._seen_since = self._written_at, False
            self._quiet_pause = min(_QUIET_PAUSE, _SHARE_OF_QUIET * (self._written_at - before))
        self._own_writes = self._connections.writes

    def _read_watch(self) -> bool:
        with suppress(BlockingIOError):
            return self._watch is not None and bool(os.read(self._watch.fileno(), _EVENTS_BYTES))
        return False

    def close(self) -> None:
        """Keep the watch for the next one who waits: the kernel takes a millisecond to end one."""
        self._idle.append(self)

    def end(self) -> None:
        """Give the watch back."""
        if self._watch is not None:
            self._watch.close()


def _watch(path: Path) -> Any:
    if not sys.platform.startswith("linux"):
        return None
    from inotify_simple import INotify, flags  # noqa: PLC0415 - Linux only

    try:
        watch = INotify(nonblocking=True)
        # SQLite removes the log with its last connection; the caller's connection keeps it in place.
        watch.add_watch(f"{path}-wal", flags.MODIFY)
    except OSError:  # no watches left, or a file system without them: the poll still works
        return None
    return watch
