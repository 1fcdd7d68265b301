"""The connections of an SQLite store, and how they read and write."""

from __future__ import annotations

import sqlite3
import threading
from itertools import count
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from rxsql.store.dialects.direct import Connections, DirectConnection, Reading
from rxsql.store.dialects.filelog import knock, sync

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from rxsql.store.dialects.plans import Plan, Rows
    from rxsql.store.dialects.translation import Translator


_numbers = count()


class FileConnection(DirectConnection):
    """A connection to an SQLite file."""

    planned_for = sqlite_dialect(paramstyle="named")

    def __init__(self, engine: Engine, plans: dict[sa.Executable, Plan], synchronous: str) -> None:
        super().__init__(engine, plans)
        self.number = next(_numbers)  # its own in this process
        self._synchronous = synchronous
        self.is_news = False  # whether others are to be told of the commit to come

    def send_plan(self, plan: Plan, values: Any) -> Rows:
        """Have SQLite execute a statement."""
        try:
            cursor = self.raw.execute(plan.text, values)
            rows = plan.rows(cursor)
        except sqlite3.Error as error:
            raise _wrapped(plan.text, error) from error
        rows.rowcount, rows.last_key = cursor.rowcount, cursor.lastrowid
        return rows

    def take_lock(self, synchronous: str) -> None:
        """Begin a transaction with the write lock."""
        self.is_news = False
        if synchronous != self._synchronous:
            self.raw.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
        self.raw.execute("BEGIN IMMEDIATE")
        self._tell_of_begin()

    def make_last(self) -> None:
        """Commit that transaction."""
        self._tell_of_commit()
        self.raw.execute("COMMIT")

    def settle(self) -> None:
        """Undo what was not committed, and be ready for the next one."""
        if self.raw.in_transaction:
            self.raw.rollback()
        if self.in_transaction():  # as SQLAlchemy sees it, after a statement that took its way
            self.rollback()


def _wrapped(text: str, error: sqlite3.Error) -> BaseException:
    return sa.exc.DBAPIError.instance(text, None, error, sqlite3.Error)


class FileConnections(Connections[FileConnection]):
    """The connections of one SQLite store that are not in use, and how they are used.

    Args:
        engine: Whose connections.
        dialect: The store's.
        durable: What `synchronous` is for a durable commit.
        log: The path of the store's log.
        timeout: For how many seconds to wait for the write lock.

    Attributes:
        writes: How many transactions have changed something over them.
        knocks: How many others were told of.
    """

    def __init__(self, engine: Engine, dialect: Translator, durable: str, log: str, timeout: float) -> None:
        super().__init__(engine, dialect)
        self._turn = threading.Lock()
        self._timeout = timeout
        self._durable = durable
        self._log = log
        self._has_synced = False
        self.writes = self.knocks = 0

    def connect(self) -> FileConnection:
        """Return a new connection."""
        return FileConnection(self._engine, self._plans, self._durable)

    def take(self) -> FileConnection:
        """Take a connection, which is as good as it was; give it back."""
        try:
            return self._idle.pop()
        except IndexError:
            return self.connect()

    def read(self) -> Reading[FileConnection]:
        """Lend a connection without a transaction."""
        return Reading(self)

    def write(self, *, durable: bool, early: bool) -> Writing:
        """Lend a connection in a write transaction, and commit it; synced where it is to be durable."""
        # A claim lost with the power leaves a queued task and a dead worker, so it needs no sync of its own.
        if not durable or self._durable == "NORMAL":
            return Writing(self, "NORMAL")
        return Writing(self, "NORMAL", syncs=True) if early else Writing(self, self._durable)

    def wait_for_turn(self) -> threading.Lock | None:
        """Wait until no other thread writes, and return what to release afterwards; None where that takes too long.

        The write lock is SQLite's, which has those who wait look again at growing intervals: beside many threads of
        one process, the last would have it after seconds.
        """
        turn = self._turn
        if turn.acquire(timeout=self._timeout):
            return turn
        self._turn = (
            threading.Lock()
        )  # who has it will not give it back: interrupted, say, just as it was taken
        return None

    def sync(self) -> None:
        """Have the disk take what was committed."""
        try:
            sync(self._log, is_new=not self._has_synced)
        except OSError as error:
            raise sqlite3.OperationalError(
                f"disk I/O error: its log cannot be synced ({error.strerror})"
            ) from error
        self._has_synced = True

    def knock(self) -> None:
        """Tell others of a commit."""
        self.knocks += 1
        knock(self._log)


class Writing(Reading[FileConnection]):
    """Lends a connection in a write transaction, which is committed where nothing is raised."""

    __slots__ = ("_changes", "_synchronous", "_syncs", "_turn")
    _connections: FileConnections
    _changes: int
    _turn: threading.Lock | None

    def __init__(self, connections: FileConnections, synchronous: str, *, syncs: bool = False) -> None:
        super().__init__(connections)
        self._synchronous = synchronous
        self._syncs = syncs  # after the commit, which others see at once

    def _begin(self) -> FileConnection:
        self._turn = self._connections.wait_for_turn()
        try:
            connection = self._connection = self._connections.take()
        except BaseException:
            self._end_turn()
            raise
        try:
            connection.take_lock(self._synchronous)
        except BaseException:
            self._leave()
            raise
        self._changes = connection.raw.total_changes
        return connection

    def _end_turn(self) -> None:
        if self._turn is not None:
            self._turn.release()
            self._turn = None

    def _leave(self) -> None:
        try:
            super()._end(is_whole=False)
        finally:
            self._end_turn()

    def _end(self, *, is_whole: bool) -> None:
        connections, connection = self._connections, self._connection
        try:
            if is_whole:
                if connection.raw.total_changes != self._changes:
                    connections.writes += 1
                connection.make_last()
                self._end_turn()
                if connection.is_news:
                    connections.knock()
                if self._syncs:
                    connections.sync()
        finally:
            self._leave()
