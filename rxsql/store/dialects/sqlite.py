"""The embedded store: an SQLite file in WAL mode on a local disk."""

from __future__ import annotations

import os
import select
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.errors import StoreError, StoreLockedError, StoreRefusedError
from rxsql.store.dialects.bulk import ROWS_AT_ONCE, grouped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import URL, Connection, Engine

    from rxsql.settings import Settings

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "fuse.sshfs",
        "fuse.glusterfs",
        "beegfs",
    }
)
MOUNTS = Path("/proc/self/mounts")
_SHORTEST_PAUSE, _LONGEST_PAUSE, _BLIND_PAUSE = 0.0002, 0.1, 0.005  # seconds between looks for a change
_SHORT_PAUSES = (
    15  # after a write, before the pauses grow: a commit takes about as long as a sync of the disk
)
OLDEST = (3, 38, 0)
_SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}


class StoreDialect:
    """How rxsql uses an SQLite file.

    The URL option `synchronous=normal` (sqlite:///jobs.db?synchronous=normal) trades the last commits before a loss of
    power for speed; a crash of a process loses nothing either way.
    """

    name = "sqlite"
    embedded = True
    notifies = False
    schema = None

    def __init__(self, url: URL, settings: Settings) -> None:
        if url.database in (None, "", ":memory:"):
            raise StoreError(
                "A store in memory cannot be shared with a worker. Give a file: sqlite:///jobs.db."
            )
        self.path = Path(str(url.database)).expanduser().absolute()
        self.label = str(self.path)
        self._timeout = settings.busy_timeout_seconds
        self._idle_wakeups: list[FileWakeup] = []
        option = str(url.query.get("synchronous", "full")).lower()
        if option not in _SYNCHRONOUS:
            raise StoreError(f"synchronous={option} is unknown; it is full or normal.")
        self._durable = _SYNCHRONOUS[option]
        self.url = f"sqlite:///{self.path}" + ("?synchronous=normal" if option == "normal" else "")

    def engine(self) -> Engine:
        """Return an engine whose writes begin with the write lock; makes the folder, not yet the file."""
        refuse_old(sqlite3.sqlite_version_info)
        _refuse_network(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The folder {self.path.parent} of the store cannot be made: {error.strerror}. Name another path with "
                "--store or RXSQL_STORE."
            ) from error
        # isolation_level=None: the driver begins nothing by itself, `_begin` below does.
        engine = sa.create_engine(
            f"sqlite:///{self.path}",
            connect_args={"timeout": self._timeout, "isolation_level": None, "check_same_thread": False},
            pool_reset_on_return=None,  # reads have no transaction, and writes end theirs
        )
        sa.event.listen(engine, "connect", self._connected)
        sa.event.listen(engine, "begin", self._begin)
        return engine

    def _connected(self, connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._durable}")
        # Some systems' SQLite writes zeros over all that is deleted; that would cost as much as writing it has.
        connection.execute("PRAGMA secure_delete = FAST")

    def _begin(self, connection: Connection) -> None:
        kind = connection.get_execution_options().get("rxsql_begin")
        if kind is None:
            return
        # A claim lost with the power leaves a queued task and a dead worker, so it needs no sync of its own.
        wanted = self._durable if kind == "durable" else "NORMAL"
        raw: Any = connection.connection.dbapi_connection
        try:
            if connection.info.get("synchronous", self._durable) != wanted:
                raw.execute(f"PRAGMA synchronous = {wanted}")
                connection.info["synchronous"] = wanted
            raw.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise sa.exc.DBAPIError("BEGIN IMMEDIATE", None, error) from error

    def writer(self, engine: Engine, *, durable: bool) -> Engine:
        """Return the engine for write transactions: `_begin` takes the lock, and says how they are synced."""
        return engine.execution_options(rxsql_begin="durable" if durable else "fast")

    def insert_many(
        self, connection: Connection, statement: sa.TextClause, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Insert rows past SQLAlchemy, some at once: half of a row's cost is its statement's beginning and end."""
        raw: Any = connection.connection.dbapi_connection
        watchers: Any = connection.dispatch  # who counts statements must see this one too
        watchers.before_cursor_execute(connection, None, statement.text, rows, None, True)
        try:
            alone = len(rows) % ROWS_AT_ONCE
            raw.executemany(statement.text, rows[:alone])
            if alone < len(rows):
                raw.executemany(*grouped(statement.text, rows[alone:]))
        except sqlite3.Error as error:
            raise sa.exc.DBAPIError(statement.text, None, error) from error

    def wakeup(self, engine: Engine, _own: str) -> FileWakeup:
        """Return a hint that watches the write-ahead log."""
        try:
            found = self._idle_wakeups.pop()
        except IndexError:
            return FileWakeup(self.path, engine, self._idle_wakeups)
        found.drain()
        return found

    def close(self) -> None:
        """End the watches that wait to be used again."""
        while self._idle_wakeups:
            self._idle_wakeups.pop().end()

    def translate(self, error: sa.exc.DBAPIError) -> StoreError:
        """Say SQLite's errors in rxsql's words."""
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreLockedError(
                f"The store {self.label} is locked by another process for more than {self._timeout:g} s. Find it with "
                f"`fuser {self.label}` and end its transaction, or raise RXSQL_BUSY_TIMEOUT_SECONDS."
            )
        if code == sqlite3.SQLITE_NOTADB:
            return StoreError(
                f"{self.label} is not an SQLite file. Name another path with --store or RXSQL_STORE."
            )
        if code == sqlite3.SQLITE_CORRUPT:
            return StoreError(
                f"The store {self.label} is damaged. Save what you can: sqlite3 {self.label} .recover"
            )
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return StoreError(
                f"The store {self.label} cannot be opened for writing ({error.orig}). Check the permissions of "
                "the file and its folder, or name another path with --store or RXSQL_STORE."
            )
        if code == sqlite3.SQLITE_FULL:
            return StoreError(
                f"The disk of the store {self.label} is full. Free some room; nothing stored was lost."
            )
        kind = StoreRefusedError if code == sqlite3.SQLITE_TOOBIG else StoreError
        return kind(f"The store {self.label} refused a statement: {error.orig}")


def refuse_old(version: tuple[int, ...]) -> None:
    """Refuse an SQLite library that lacks what the statements use.

    Raises:
        StoreError: It is older than 3.38.
    """
    if version < OLDEST:
        found, needed = (".".join(map(str, parts)) for parts in (version, OLDEST))
        raise StoreError(
            f"This Python ({sys.executable}) has SQLite {found}, and rxsql needs {needed} or later. Use a Python with "
            "a newer SQLite, such as one from python.org or conda."
        )


def file_system(path: Path, mounts: Path) -> str:
    """Return the type of the file system that holds `path`, "" where that cannot be told."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    real = os.path.realpath(path)
    best, kind = "", ""
    for line in lines:
        _, place, found, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        inside = place in ("/", real) or real.startswith(f"{place}/")
        if inside and len(place) >= len(best):
            best, kind = place, found
    return kind


def _refuse_network(path: Path) -> None:
    kind = file_system(path, MOUNTS)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"{path} lies on a network file system ({kind}), where SQLite's locks cannot be trusted. Name a path on a "
            "local disk with --store or RXSQL_STORE, or use a database server."
        )


class FileWakeup:
    """Watches the write-ahead log: inotify says early that something was written, `data_version` that it is committed.

    Where there is no inotify, `data_version` is polled; it costs microseconds.
    """

    def __init__(self, path: Path, engine: Engine, idle: list[FileWakeup]) -> None:
        self._engine = engine
        self._idle = idle
        self._seen: dict[int, int] = {}
        self.changed()  # opens the store, so that the log is there to be watched
        self._watch = _watch(path)

    def fileno(self) -> int | None:
        """Return the inotify descriptor."""
        return None if self._watch is None else self._watch.fileno()

    def changed(self) -> bool:
        """Whether somebody else has committed since the last call.

        `data_version` counts the commits of other connections. A process with one thread has one connection in
        its pool, so its own commits are none of them.
        """
        with self._engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            version = int(raw.execute("PRAGMA data_version").fetchone()[0])
        seen = self._seen.get(id(raw))
        self._seen[id(raw)] = version
        return version != seen

    def wait(self, seconds: float) -> bool:
        """Wait for somebody else's commit, at most `seconds`.

        The log is written before the commit can be seen, so after a write the look is repeated, with growing pauses.
        """
        began = time.monotonic()
        pause, short_pauses = _SHORTEST_PAUSE, _SHORT_PAUSES
        while not self.changed():
            waited = time.monotonic() - began
            if waited >= seconds:
                return False
            if self._watch is None:
                time.sleep(min(seconds - waited, _BLIND_PAUSE))
            elif select.select([self._watch], [], [], min(seconds - waited, pause))[0]:
                self.drain()
                pause, short_pauses = _SHORTEST_PAUSE, _SHORT_PAUSES
            elif short_pauses:
                short_pauses -= 1
            else:
                pause = min(_LONGEST_PAUSE, pause * 1.5)
        return True

    def drain(self) -> None:
        """Make the descriptor unreadable until somebody writes again."""
        if self._watch is not None:
            self._watch.read(timeout=0)

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
