"""The hint of the embedded store: somebody has written to its log, and has committed."""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from rxsql.store.dialects.direct import Connections

# Seconds between looks for a change: after a write, whose commit is seen when the disk is synced, mostly after less
# than a millisecond; and always where nobody says that something was written.
_FIRST_PAUSE, _LAST_PAUSE, _GROWTH = 0.0002, 0.005, 1.25
_GROWTH_UNHINTED = 2  # where nothing is known to be under way
_LONGEST_PAUSE = 0.1
_SHARE, _SHARE_AFTER_WRITE = 0.25, 0.01  # of the time without a write that may pass until a commit is seen
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
        self._own_writes = connections.writes

    def fileno(self) -> int | None:
        """Return the inotify descriptor."""
        return None if self._watch is None else self._watch.fileno()

    def changed(self) -> bool:
        """Whether somebody else has committed since the last call.

        `data_version` counts the commits of other connections. A process with one thread has one connection in
        use, so its own commits are none of them.
        """
        connection = self._connections.take()
        try:
            version = int(connection.raw.execute("PRAGMA data_version").fetchone()[0])
        finally:
            self._connections.give_back(connection)
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
        return max(_FIRST_PAUSE, min(_LONGEST_PAUSE, _SHARE * waited))

    def wait(self, seconds: float) -> bool:
        """Wait for somebody else's commit, at most `seconds`.

        The log is written before the commit can be seen, so after a write the look is repeated, with growing pauses:
        also after one before this call, whose commit may be on its way.
        """
        end = time.monotonic() + seconds
        pause, hinted = self._first_pause(), self._watch is None
        while not self.changed():
            left = end - time.monotonic()
            if left <= 0:
                return False
            if hinted:  # not woken by each page that is written
                time.sleep(min(left, pause))
                hinted = self._watch is None or pause < _LAST_PAUSE
                pause = min(_LAST_PAUSE, pause * _GROWTH)
            elif select.select([self._watch], [], [], min(left, pause))[0]:
                pause, hinted = self._first_pause(), True
            else:
                pause = min(_LONGEST_PAUSE, pause * (_GROWTH if self.look_in else _GROWTH_UNHINTED))
        self._read_watch()  # what was written for the change that is seen now
        return True

    def _first_pause(self) -> float:
        """Return how long to wait for a commit at first: the longer nothing had been written, the less it matters."""
        before = self._written_at
        self.drain()
        written = self._watch is None or self._written_at > before
        quiet = time.monotonic() - before
        share, most = (_SHARE_AFTER_WRITE, _LAST_PAUSE) if written else (_SHARE, _LONGEST_PAUSE)
        return max(_FIRST_PAUSE, min(most, share * quiet))

    def drain(self) -> None:
        """Make the descriptor unreadable until somebody writes again, and note when somebody else has."""
        if self._read_watch():
            self._written_at = time.monotonic()
            if self._own_writes == self._connections.writes:
                self._hinted_at, self._seen_since = self._written_at, False
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
