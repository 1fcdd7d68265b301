"""Sends constant statements straight to SQLite's driver: through SQLAlchemy, the way there costs ten times the work.

What is constant (`tables.constant`) is compiled by SQLAlchemy once a process; anything else is sent through it as ever,
over the same connection.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.engine import Connection

from rxsql.store.dialects.filelog import knock, sync
from rxsql.store.tables import CONSTANT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Engine

_DIALECT = sqlite_dialect(paramstyle="named")
_plans: dict[sa.Executable, Plan] = {}


class Rows:
    """All that a statement gave; as much of SQLAlchemy's result as the store asks for."""

    __slots__ = ("_rows", "inserted_primary_key", "rowcount")

    def __init__(self, rows: list[Any], rowcount: int, last_key: int | None) -> None:
        self._rows = rows
        self.rowcount = rowcount
        self.inserted_primary_key = (last_key,)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        """Return all rows."""
        return self._rows

    def one_or_none(self) -> Any:
        """Return the only row, or None where there is none."""
        if len(self._rows) > 1:
            raise sa.exc.MultipleResultsFound("Multiple rows were found when one or none was required")
        return self._rows[0] if self._rows else None

    def scalar(self) -> Any:
        """Return the first row's first value."""
        return self._rows[0][0] if self._rows else None

    def scalars(self) -> Rows:
        """Return each row's first value."""
        return Rows([row[0] for row in self._rows], self.rowcount, None)

    def mappings(self) -> Rows:
        """Return each row as a dict."""
        return Rows([row._asdict() for row in self._rows], self.rowcount, None)


class Plan:
    """A constant statement as the driver takes it, and what its values go through."""

    def __init__(self, statement: Any, parameters: Mapping[str, Any]) -> None:
        compiled = statement.compile(dialect=_DIALECT, column_keys=list(parameters))
        self.text = str(compiled)
        types = {name: bind.type for bind, name in compiled.bind_names.items()}
        self._given = parameters.keys()
        self._defaults = {name: value for name, value in compiled.params.items() if name not in parameters}
        self._sent = _processors(types, lambda kind: kind.bind_processor(_DIALECT))
        columns = {number: column.type for number, column in enumerate(compiled._result_columns)}  # noqa: SLF001
        self._read = _processors(columns, lambda kind: kind.result_processor(_DIALECT, None))
        self._row: Callable[[Sequence[Any]], Any] | None = None

    def values(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the parameters as the driver takes them."""
        if parameters.keys() != self._given:
            raise sa.exc.ArgumentError(f"Not the parameters of this statement: {sorted(parameters)}")
        if not self._defaults and not self._sent:
            return parameters
        values = {**self._defaults, **parameters}
        for name, process in self._sent.items():
            values[name] = process(values[name])
        return values

    def rows(self, cursor: sqlite3.Cursor) -> list[Any]:
        """Return what the statement gave, in named rows."""
        if cursor.description is None:
            return []
        if self._row is None:
            names = [column[0] for column in cursor.description]
            self._row = _row_class(names)._make
        found = cursor.fetchall()
        if self._read:
            found = [[*row] for row in found]
            for row in found:
                for number, process in self._read.items():
                    row[number] = process(row[number])
        return [self._row(row) for row in found]


def _row_class(names: Sequence[str]) -> Any:
    return namedtuple("Row", names, rename=True)  # noqa: PYI024


def _processors(types: Mapping[Any, Any], find: Callable[[Any], Any]) -> dict[Any, Callable[[Any], Any]]:
    """Return what changes values of these types on their way, where anything does; bytes go as they are."""
    found = {
        key: find(kind.dialect_impl(_DIALECT))
        for key, kind in types.items()
        if not isinstance(kind, sa.LargeBinary)
    }
    return {key: process for key, process in found.items() if process is not None}


class DirectConnection(Connection):
    """A connection of the engine's, kept for long; what is not constant takes SQLAlchemy's way."""

    def __init__(self, engine: Engine, synchronous: str) -> None:
        super().__init__(engine)
        self.raw: Any = self.connection.dbapi_connection
        self._synchronous = synchronous
        self._watchers: Any = engine.dispatch
        self.watched = False
        self.is_news = False  # whether others are to be told of the commit to come

    def look_for_watchers(self) -> None:
        """See whether somebody counts what is sent, say; of what goes past SQLAlchemy it does not tell them."""
        events = self._watchers
        self.watched = bool(events.before_cursor_execute or events.begin or events.commit)

    def execute(self, statement: Any, parameters: Any = None, **options: Any) -> Any:
        """Execute a statement: directly where it is constant."""
        plan = _plans.get(statement)
        if plan is None:
            if not statement.get_execution_options().get(CONSTANT) or isinstance(parameters, list):
                return super().execute(statement, parameters, **options)
            plan = _plans[statement] = Plan(statement, parameters or {})
        values = plan.values(parameters or {})
        if self.watched:
            self._watchers.before_cursor_execute(self, None, plan.text, values, None, False)
        try:
            cursor = self.raw.execute(plan.text, values)
            return Rows(plan.rows(cursor), cursor.rowcount, cursor.lastrowid)
        except sqlite3.Error as error:
            raise _wrapped(plan.text, error) from error

    def take_lock(self, synchronous: str) -> None:
        """Begin a transaction with the write lock."""
        self.is_news = False
        if synchronous != self._synchronous:
            self._send(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
        self._send("BEGIN IMMEDIATE")
        if self.watched:
            self._watchers.begin(self)

    def make_last(self) -> None:
        """Commit that transaction."""
        if self.watched:
            self._watchers.commit(self)
        self._send("COMMIT")

    def _send(self, text: str) -> None:
        try:
            self.raw.execute(text)
        except sqlite3.Error as error:
            raise _wrapped(text, error) from error

    def settle(self) -> None:
        """Undo what was not committed, and be ready for the next one."""
        if self.raw.in_transaction:
            self.raw.rollback()
        if self.in_transaction():  # as SQLAlchemy sees it, after a statement that took its way
            self.rollback()


def _wrapped(text: str, error: sqlite3.Error) -> BaseException:
    return sa.exc.DBAPIError.instance(text, None, error, sqlite3.Error)


class Connections:
    """The connections of one store that are not in use, and how they are used.

    Attributes:
        writes: How many transactions have changed something over them.
        knocks: How many others were told of.
    """

    def __init__(self, engine: Engine, durable: str, log: str) -> None:
        self._engine = engine
        self._durable = durable
        self._log = log
        self._has_synced = False
        self._idle: list[DirectConnection] = []
        self.writes = self.knocks = 0

    def take(self) -> DirectConnection:
        """Take a connection; give it back."""
        try:
            return self._idle.pop()
        except IndexError:
            return DirectConnection(self._engine, self._durable)

    def give_back(self, connection: DirectConnection) -> None:
        """Let others have a connection."""
        self._idle.append(connection)

    def read(self) -> Reading:
        """Lend a connection without a transaction."""
        return Reading(self)

    def write(self, *, durable: bool, early: bool) -> Writing:
        """Lend a connection in a write transaction, and commit it; synced where it is to be durable."""
        # A claim lost with the power leaves a queued task and a dead worker, so it needs no sync of its own.
        if not durable or self._durable == "NORMAL":
            return Writing(self, "NORMAL")
        return Writing(self, "NORMAL", syncs=True) if early else Writing(self, self._durable)

    def sync(self) -> None:
        """Have the disk take what was committed."""
        try:
            sync(self._log, is_new=not self._has_synced)
        except OSError as error:
            said = sqlite3.OperationalError(f"disk I/O error: its log cannot be synced ({error.strerror})")
            raise _wrapped("COMMIT", said) from error
        self._has_synced = True

    def knock(self) -> None:
        """Tell others of a commit."""
        self.knocks += 1
        knock(self._log)

    def close(self) -> None:
        """Give the connections back to the engine."""
        while self._idle:
            self._idle.pop().close()


class Reading:
    """Lends a connection; a class, as `contextlib`'s way takes as long as the shortest statement."""

    __slots__ = ("_connection", "_connections")
    _connection: DirectConnection

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def __enter__(self) -> DirectConnection:
        self._connection = self._connections.take()
        self._connection.look_for_watchers()
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.settle()
        self._connections.give_back(self._connection)


class Writing(Reading):
    """Lends a connection in a write transaction, which is committed where nothing is raised."""

    __slots__ = ("_changes", "_synchronous", "_syncs")
    _changes: int

    def __init__(self, connections: Connections, synchronous: str, *, syncs: bool = False) -> None:
        super().__init__(connections)
        self._synchronous = synchronous
        self._syncs = syncs  # after the commit, which others see at once

    def __enter__(self) -> DirectConnection:
        connection = super().__enter__()
        try:
            connection.take_lock(self._synchronous)
        except BaseException:
            super().__exit__()
            raise
        self._changes = connection.raw.total_changes
        return connection

    def __exit__(self, *raised: object) -> None:
        try:
            if raised[0] is None:
                if self._connection.raw.total_changes != self._changes:
                    self._connections.writes += 1
                self._connection.make_last()
                if self._connection.is_news:
                    self._connections.knock()
                if self._syncs:
                    self._connections.sync()
        finally:
            super().__exit__()
