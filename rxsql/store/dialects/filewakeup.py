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

    from rxsql.store.dialects.fileconnections import FileConnections

# Seconds between looks for the commit of what was written by somebody who does not knock, and what share of the time
# may pass for which it was waited.
_FIRST_PAUSE, _LONGEST_PAUSE, _SHARE_OF_WAIT = 0.002, 0.1, 0.25
_PAUSE_GROWTH = 2.0
_FIRST_POLL, _POLL_PAUSE, _POLL_GROWTH = 0.0002, 0.005, 1.25  # where the system has no watches
_HINT_SECONDS = 60.0  # after which what was written is taken for undone
_DOUBT_SECONDS = 0.01  # for which one who wrote may have another commit under way than the one that is seen
_EVENTS_BYTES = 65536
_WRITE, _KNOCK = 0x02, 0x10  # inotify's MODIFY and CLOSE_NOWRITE
_EVENT_BYTES, _MASK_AT = 16, 4


class FileWakeup:
    """Watches the write-ahead log: for knocks, and for writes, whose commits `data_version` tells of.

    Where there is no inotify, `data_version` is polled; it costs microseconds.
    """

    def __init__(self, path: Path, connections: FileConnections, idle: list[FileWakeup]) -> None:
        self._connections = connections
        self._idle = idle
        self._seen: dict[int, int] = {}
        self._own_writes, self._own_knocks = connections.writes, connections.knocks
        self._hinted_at: float | None = None  # when somebody else wrote
        self._has_knocked = False  # whether that was one who knocks
        self._seen_since = False  # whether a commit was seen after that
        self._log = log_of(path)
        self._heeded = 0
        self.changed()  # opens the store, so that the log is there to be watched
        self._watch = _watch()
        self._heed(_KNOCK)

    def fileno(self, *, knocks_only: bool = False) -> int | None:
        """Return the inotify descriptor: for knocks, and while no commit is awaited, for writes."""
        self._heed(_KNOCK if knocks_only or self._is_awaited else _KNOCK | _WRITE)
        return None if self._watch is None else self._watch.fileno()

    def _heed(self, events: int) -> None:
        """Be woken by these from now on."""
        if self._watch is not None and events != self._heeded:
            try:
                # SQLite removes the log with its last connection; the caller's connection keeps it in place.
                self._watch.add_watch(self._log, events)
                self._heeded = events
                self._own_writes = self._connections.writes  # those until now may not have been heard
            except OSError:  # no watches left, or a file system without them: the poll still works
                self.end()
                self._watch = None

    def changed(self) -> bool:
        """Whether somebody else has committed since the last call.

        `data_version` counts the commits of other connections. A process with one thread has one connection in
        use, so its own commits are none of them.
        """
        if self._is_awaited and self._heard():  # of the commit that may be seen now
            self._own_writes = self._connections.writes
        try:
            connection = self._connections.take()
            try:
                version = int(connection.raw.execute("PRAGMA data_version").fetchone()[0])
            finally:
                self._connections.give_back(connection)
        except (sqlite3.Error, sa.exc.DBAPIError):
            return True  # the store cannot be read: the look that follows says why
        seen = self._seen.get(connection.number)
        self._seen[connection.number] = version
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
        self._heed(_KNOCK)
        has_heard = self.drain()
        pause = self._first_pause()
        if not has_heard and pause == _LONGEST_PAUSE:  # then the caller has just seen all there is
            self._rest(min(seconds, pause))
        while not self.changed():
            left = end - time.monotonic()
            if left <= 0:
                return False
            if self._watch is None:
                time.sleep(min(left, pause))
                pause = min(_POLL_PAUSE, pause * _POLL_GROWTH)
            elif not self._rest(min(left, pause)):
                pause = min(_LONGEST_PAUSE, pause * _PAUSE_GROWTH)
        return True

    def _rest(self, seconds: float) -> bool:
        """Wait for a knock; whether there was one."""
        return bool(select.select([self._watch], [], [], seconds)[0]) and self.drain()

    def _first_pause(self) -> float:
        if self._watch is None:
            return _FIRST_POLL
        is_deaf = (
            self._own_knocks != self._connections.knocks
        )  # on some file systems nobody hears of anything
        return _FIRST_PAUSE if is_deaf else _LONGEST_PAUSE

    def drain(self) -> bool:
        """Make the descriptor unreadable until somebody writes again, and note when somebody else has; whether any."""
        heard = self._heard()
        if not heard:
            return False
        if self._own_writes == self._connections.writes:
            self._hinted_at, self._seen_since, self._has_knocked = time.monotonic(), False, _KNOCK in heard
        self._own_writes = self._connections.writes
        if _KNOCK in heard:
            self._own_knocks = self._connections.knocks
        return True

    def _heard(self) -> bytes:
        """Return what has come since, a byte an event."""
        try:
            return (
                os.read(self._watch.fileno(), _EVENTS_BYTES)[_MASK_AT::_EVENT_BYTES] if self._watch else b""
            )
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Keep the watch for the next one who waits: the kernel takes a millisecond to end one."""
        self._idle.append(self)

    def end(self) -> None:
        """Give the watch back."""
        if self._watch is not None:
            self._watch.close()


def _watch() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    from inotify_simple import INotify  # noqa: PLC0415 - Linux only

    try:
        return INotify(nonblocking=True)
    except OSError:  # none left: the poll still works
        return None
