"""The embedded store: an SQLite file in WAL mode on a local disk."""

from __future__ import annotations

import os
import sqlite3
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa

from rxsql.errors import StoreError, StoreLockedError, StoreRefusedError
from rxsql.store.dialects.bulk import ROWS_AT_ONCE, grouped
from rxsql.store.dialects.fileconnections import FileConnections
from rxsql.store.dialects.filelog import log_of
from rxsql.store.dialects.filewakeup import FileWakeup
from rxsql.store.dialects.valuefiles import ValueFiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import URL, Connection, Engine

    from rxsql.settings import Settings
    from rxsql.store.dialects.fileconnections import FileConnection
    from rxsql.store.protocols import Lender

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
OLDEST = (3, 38, 0)
# Twice SQLite's own: what is large, such as pages of tables, takes half the work, and a commit of small rows hardly
# more.
_PAGE_BYTES = 8192
# At most; what does not fit is written before its transaction ends, page by page and slowly.
_CACHE_KIB = 16_384
_REFUSING = (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)
_SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}


class StoreDialect:
    """How rxsql uses an SQLite file.

    The URL option `synchronous=normal` (sqlite:///jobs.db?synchronous=normal) trades the last commits before a loss of
    power for speed; a crash of a process loses nothing either way.
    """

    name = "sqlite"
    embedded = True
    schema = None

    def __init__(self, url: URL, settings: Settings) -> None:
        if url.database in (None, "", ":memory:"):
            raise StoreError(
                "A store in memory cannot be shared with a worker. Give a file: sqlite:///jobs.db."
            )
        self.path = Path(str(url.database)).expanduser().absolute()
        self.label = str(self.path)
        # As SQLite does with its log, so that all who reach the file by other names mean the same.
        self._real_path = self.path.resolve()
        self.values = ValueFiles(self._real_path)
        self._timeout = settings.busy_timeout_seconds
        self._connections: FileConnections | None = None
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
        # isolation_level=None: the driver begins nothing by itself, `FileConnections.write` does.
        engine = sa.create_engine(
            f"sqlite:///{self.path}",
            connect_args={"timeout": self._timeout, "isolation_level": None, "check_same_thread": False},
            poolclass=sa.NullPool,  # `FileConnections` keeps them
        )
        sa.event.listen(engine, "connect", self._connected)
        return engine

    def _connected(self, connection: sqlite3.Connection, _record: Any) -> None:
        # Also a text that is no UTF-8: SQLite stores what it is given, and one row must not stop a worker.
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA synchronous = {self._durable}")
        # Some systems' SQLite writes zeros over all that is deleted; that would cost as much as writing it has.
        connection.execute("PRAGMA secure_delete = FAST")

    def reader(self, engine: Engine) -> Lender:
        """Return what lends a connection for reading; there is no transaction."""
        return self._connections_of(engine).read

    def writer(self, engine: Engine, *, durable: bool, early: bool = False) -> Lender:
        """Return what lends a connection that has the write lock."""
        return partial(self._connections_of(engine).write, durable=durable, early=early)

    def _connections_of(self, engine: Engine) -> FileConnections:
        if self._connections is None:
            self._connections = FileConnections(
                engine, self, self._durable, log_of(self._real_path), self._timeout
            )
        return self._connections

    def insert_many(
        self, connection: Connection, statement: sa.TextClause, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Insert rows past SQLAlchemy, some at once: half of a row's cost is its statement's beginning and end."""
        raw: Any = connection.connection.dbapi_connection
        watchers = cast("FileConnection", connection).watchers
        if watchers is not None:
            watchers.before_cursor_execute(connection, None, statement.text, rows, None, True)
        try:
            alone = len(rows) % ROWS_AT_ONCE
            raw.executemany(statement.text, rows[:alone])
            if alone < len(rows):
                raw.executemany(*grouped(statement.text, rows[alone:]))
        except sqlite3.Error as error:
            raise sa.exc.DBAPIError(statement.text, None, error) from error

    def notify(self, connection: Connection, _statement: sa.TextClause, _own: str) -> None:
        """Have a knock at the log follow the commit."""
        cast("FileConnection", connection).is_news = True

    def wakeup(self, engine: Engine, _own: str) -> FileWakeup:
        """Return a hint that watches the write-ahead log."""
        try:
            found = self._idle_wakeups.pop()
        except IndexError:
            return FileWakeup(self._real_path, self._connections_of(engine), self._idle_wakeups)
        found.drain()
        return found

    def close(self) -> None:
        """End the watches that wait to be used again, and give back connections."""
        while self._idle_wakeups:
            self._idle_wakeups.pop().end()
        if self._connections is not None:
            self._connections.close()

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
            return StoreError(self._why_not_opened(error))
        if code == sqlite3.SQLITE_FULL:
            return StoreError(
                f"The disk of the store {self.label} is full. Free some room; nothing stored was lost."
            )
        kind = StoreRefusedError if code in _REFUSING else StoreError
        return kind(f"The store {self.label} refused a statement: {error.orig}")

    def _why_not_opened(self, error: sa.exc.DBAPIError) -> str:
        if os.path.isdir(self.path):  # noqa: PTH112 - Path.is_dir raises where it may not look
            return f"{self.label} is a folder. Name a file for the store, such as {self.path / 'jobs.db'}."
        return (
            f"The store {self.label} cannot be opened for writing ({error.orig}). Check the permissions of "
            "the file and its folder, or name another path with --store or RXSQL_STORE."
        )


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
