"""The hint of the embedded store: somebody has written to its log, and has committed."""

from __future__ import annotations

import os
import select
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.store.dialects.filelog import log_of

if TYPE_CHECKING:
    from pathlib import Path

    from rxsql.store.dialects.direct import Connections

# Seconds between looks for the commit of what was written by somebody who does not knock, and what share of the time
# may pass for which it was waited.
_FIRST_PAUSE, _LONGEST_PAUSE, _SHARE_OF_WAIT = 0.002, 0.1, 0.25
_PAUSE_GROWTH = 2.0
_FIRST_POLL, _POLL_PAUSE, _POLL_GROWTH = 0.0002, 0.005, 1.25  # where the system has no watches
_HINT_SECONDS = 60.0  # after which what was written is taken for undone
_DOUBT_SECONDS = 0.01  # for which one who wrote may have another commit under way than the one that is seen
_EVENTS_BYTES = 65536


class FileWakeup:
    """Watches the write-ahead log: for knocks, and for writes, whose commits `data_version` tells of.

    Where there is no inotify, `data_version` is polled; it costs microseconds.
    """

    def __init__(self, path: Path, connections: Connections, idle: list[FileWakeup]) -> None:
        self._connections = connections
        self._idle = idle
        self._seen: dict[int, int] = {}
        self._own_writes, self._own_knocks = connections.writes, connections.knocks
        self._hinted_at: float | None = None  # when somebody else wrote
        self._has_knocked = False  # whether that was one who knocks
        self._seen_since = False  # whether a commit was seen after that
        self.changed()  # opens the store, so that the log is there to be watched
        self._watches = _watches(log_of(path))

    def filenos(self) -> list[int]:
        """Return the inotify descriptors: of knocks, and while no commit is awaited, of writes."""
        return [watch.fileno() for watch in self._watches[: 1 if self._is_awaited else 2]]

    def changed(self) -> bool:
        """Whether somebody else has committed since the last call.

        `data_version` counts the commits of other connections. A process with one thread has one connection in
        use, so its own commits are none of them.
        """
        if self._is_awaited and True in self._read_watches():  # of the commit that may be seen now
            self._own_writes = self._connections.writes
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
        if self._has_knocked:  # and would again
            self._hinted_at = None
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
        """Wait for somebody else's commit, at most `seconds`: for a knock, or for a look at growing intervals."""
        end = time.monotonic() + seconds
        self.drain()
        pause = self._first_pause()
        while not self.changed():
            left = end - time.monotonic()
            if left <= 0:
                return False
            if not self._watches:
                time.sleep(min(left, pause))
                pause = min(_POLL_PAUSE, pause * _POLL_GROWTH)
            elif not select.select(self._watches[:1], [], [], min(left, pause))[0]:
                pause = min(_LONGEST_PAUSE, pause * _PAUSE_GROWTH)
        return True

    def _first_pause(self) -> float:
        if not self._watches:
            return _FIRST_POLL
        is_deaf = (
            self._own_knocks != self._connections.knocks
        )  # on some file systems nobody hears of anything
        return _FIRST_PAUSE if is_deaf else _LONGEST_PAUSE

    def drain(self) -> None:
        """Make the descriptors unreadable until somebody writes again, and note when somebody else has."""
        heard = self._read_watches()
        if True not in heard:
            return
        if self._own_writes == self._connections.writes:
            self._hinted_at, self._seen_since, self._has_knocked = time.monotonic(), False, heard[0]
        self._own_writes = self._connections.writes
        if heard[0]:
            self._own_knocks = self._connections.knocks

    def _read_watches(self) -> list[bool]:
        return [_read(watch) for watch in self._watches]

    def close(self) -> None:
        """Keep the watch for the next one who waits: the kernel takes a millisecond to end one."""
        self._idle.append(self)

    def end(self) -> None:
        """Give the watches back."""
        for watch in self._watches:
            watch.close()


def _watches(log: str) -> list[Any]:
    """Return a watch for knocks and one for writes, or none where the system has none."""
    if not sys.platform.startswith("linux"):
        return []
    from inotify_simple import INotify, flags  # noqa: PLC0415 - Linux only

    made: list[Any] = []
    try:
        for event in (flags.CLOSE_NOWRITE, flags.MODIFY):
            made.append(INotify(nonblocking=True))
            # SQLite removes the log with its last connection; the caller's connection keeps it in place.
            made[-1].add_watch(log, event)
    except OSError:  # no watches left, or a file system without them: the poll still works
        for watch in made:
            watch.close()
        return []
    return made


def _read(watch: Any) -> bool:
    try:
        return bool(os.read(watch.fileno(), _EVENTS_BYTES))
    except BlockingIOError:
        return False
