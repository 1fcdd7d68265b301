"""PostgreSQL as a store: schema `rx`, row locks with SKIP LOCKED, LISTEN and NOTIFY as the hint for changes."""

from __future__ import annotations

import re
import select
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.errors import StoreConflictError, StoreError, StoreRefusedError, StoreUnreachableError
from rxsql.store.dialects.serverconnections import ServerConnection, ServerConnections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import URL, Connection, Engine

    from rxsql.settings import Settings
    from rxsql.store.dialects.plans import Plan, Rows
    from rxsql.store.protocols import Lender

_REMEDIES = {
    "28P01": "The password is wrong or missing, or the user does not exist.",
    "28000": "The server does not let this user in; see its pg_hba.conf.",
    "3D000": "There is no such database on the server. Create it, or correct the URL.",
    "42501": "The user lacks a permission in schema rx: clients need the role rx_client, workers rx_worker.",
    "25006": "The server is read-only: a replica, or in recovery. Name the primary server.",
    "53300": "The server has no connections left.",
}
# What refuses a connection has no SQLSTATE in the driver's error.
_REFUSED_CONNECTION = {
    "28P01": re.compile(r"password authentication failed|no password supplied"),
    "28000": re.compile(
        r'authentication failed for user|no pg_hba\.conf entry|role "[^"]*" does not exist|not permitted to log in'
    ),
    "3D000": re.compile(r'database "[^"]*" does not exist'),
    "42501": re.compile(r"permission denied for database"),
}

# The tables change faster than the planner learns: a plan that was made while one was empty, and kept, or for what the
# last job had left, walks through all of it. So plans are made for the moment, by indexes, and in the indexes' order.
# What is turned off counts as very dear where nothing else will do (before PostgreSQL 18), and what is dear would be
# compiled (JIT), which takes hundreds of milliseconds for a statement of one.
_SESSION = (
    "-c timezone=utc -c plan_cache_mode=force_custom_plan "
    "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off -c jit=off"
)

_PASSING_CLASSES = frozenset({"08", "40", "57"})  # connection, rollback by the server, operator
_CONFLICTS = frozenset({"40001", "40P01", "55P03"})  # serialization, deadlock, lock not available
_REFUSING_CLASSES = frozenset({"22", "23", "54"})  # data, constraints, limits
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
# A claim lost with the power leaves a queued task and a dead worker, so it does not wait for the disk.
_BEGIN_FAST = f"{_BEGIN}; SET LOCAL synchronous_commit TO OFF"
_MESSAGE_TOO_LONG = "08P01"
_PASSING_REMEDY = (
    "The server cannot be reached, has closed the connection, or was busy; try again when it is back."
)


class StoreDialect:
    """How rxsql uses a PostgreSQL database."""

    name = "postgresql"
    embedded = False
    schema = "rx"
    values = None  # none apart

    def __init__(self, url: URL, settings: Settings) -> None:
        try:
            import psycopg  # noqa: F401, PLC0415
        except ImportError:
            raise StoreError(
                "A PostgreSQL store needs the driver psycopg. Install it: pip install 'rxsql[postgresql]'"
            ) from None
        self._url = url.set(drivername="postgresql+psycopg")
        self._timeout = settings.busy_timeout_seconds
        self.url = self._url.render_as_string(hide_password=False)
        self.label = url.set(drivername="postgresql").render_as_string(hide_password=True)
        self._connections: ServerConnections | None = None

    def engine(self) -> Engine:
        """Return an engine in autocommit, whose tables are those of schema rx."""
        return sa.create_engine(
            self._url,
            isolation_level="AUTOCOMMIT",
            execution_options={"schema_translate_map": {None: self.schema}},
            connect_args={
                "connect_timeout": max(2, round(self._timeout)),
                "application_name": "rxsql",
                "options": f"{_SESSION} {self._url.query.get('options', '')}".rstrip(),
            },
            poolclass=sa.NullPool,  # `ServerConnections` keeps them
        )

    def reader(self, engine: Engine) -> Lender:
        """Return what lends a connection for reading."""
        return self._connections_of(engine).read

    def writer(self, engine: Engine, *, durable: bool, early: bool = False) -> Lender:  # noqa: ARG002 - others see it late
        """Return what lends a connection in a write transaction."""
        return partial(self._connections_of(engine).write, _BEGIN if durable else _BEGIN_FAST)

    def _connections_of(self, engine: Engine) -> ServerConnections:
        if self._connections is None:
            self._connections = ServerConnections(engine, self, PostgresConnection)
        return self._connections

    def insert_many(
        self, connection: Connection, statement: sa.TextClause, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Insert rows in one statement, which takes an array a column."""
        connection.execute(statement, {name: [row[name] for row in rows] for name in rows[0]})

    def notify(self, connection: Connection, statement: sa.TextClause, own: str) -> None:
        """Notify those who listen, with this transaction's commit."""
        connection.execute(statement, {"sender": own})

    def wakeup(self, engine: Engine, own: str) -> NotifyWakeup:
        """Return a hint that listens to notifications."""
        return NotifyWakeup(self._connections_of(engine), own)

    def close(self) -> None:
        """Give back the connections that wait for their next use."""
        if self._connections is not None:
            self._connections.close()

    def translate(self, error: sa.exc.DBAPIError) -> StoreError:
        """Say PostgreSQL's errors in rxsql's words."""
        state = getattr(error.orig, "sqlstate", None) or ""
        text = " ".join(str(error.orig).split())
        if not state:
            state = next((found for found, sign in _REFUSED_CONNECTION.items() if sign.search(text)), "")
        remedy = _REMEDIES.get(state)
        # What the driver itself does not send, as a NUL in a text or too much at once, has no state, and leaves the
        # connection as it was. Where that cannot be made or was lost, there is none either.
        is_unsent = not state and error.statement is not None and not error.connection_invalidated
        refused = state[:2] in _REFUSING_CLASSES or state == _MESSAGE_TOO_LONG or is_unsent
        passing = not refused and (
            error.connection_invalidated or state[:2] in _PASSING_CLASSES or state in _CONFLICTS or not state
        )
        if remedy is None and passing:
            kind = StoreConflictError if state in _CONFLICTS else StoreUnreachableError
            return kind(f"The store {self.label}: {_PASSING_REMEDY} ({text})")
        other = StoreRefusedError if refused else StoreError
        return other(f"The store {self.label}: {remedy or 'it refused a statement.'} ({text})")


class PostgresConnection(ServerConnection):
    """A connection through psycopg, which keeps one cursor, and prepares what it sends for the sixth time."""

    def __init__(self, engine: Engine, plans: dict[sa.Executable, Plan]) -> None:
        super().__init__(engine, plans)
        self._cursor = self.raw.cursor()

    def ask(self, plan: Plan, values: Any) -> Rows:
        """Have the driver send a statement; return its rows, which know how many it has changed."""
        cursor = self._cursor.execute(plan.text, values)
        rows = plan.rows(cursor)
        rows.rowcount = cursor.rowcount
        return rows

    def say(self, text: str) -> None:
        """Have the driver send a text, which may be several statements."""
        self._cursor.execute(text, prepare=False)


class NotifyWakeup:
    """Listens on a connection of its own; while that is lost, every look is worth it."""

    def __init__(self, connections: ServerConnections, own: str) -> None:
        self._connections = connections
        self._own = own
        self._connection: ServerConnection | None = None
        self._raw: Any = None
        self._retry_at = 0.0
        self._reconnect()  # a hint that cannot be had is no error: the caller's next operation tells

    def _listen(self) -> None:
        self._connection = self._connections.take()
        self._connection.send("LISTEN rxsql")
        self._raw = self._connection.raw

    def fileno(self, *, knocks_only: bool = False) -> int | None:  # noqa: ARG002 - there are no other hints
        """Return the connection's descriptor."""
        import psycopg  # noqa: PLC0415

        try:
            return None if self._raw is None else self._raw.fileno()
        except psycopg.Error:  # it was lost, which `changed` finds out
            return None

    def drain(self) -> bool:
        """Return False: `changed` reads what has come."""
        return False

    @property
    def look_in(self) -> float | None:
        """Return None: no hint comes before its change."""

    def changed(self) -> bool:
        """Whether somebody else has told of a change since the last call."""
        import psycopg  # noqa: PLC0415

        if self._raw is None:
            return self._reconnect()
        try:
            notes = [note.payload for note in self._raw.notifies(timeout=0)]
        except psycopg.Error:
            self._lose()
            return True
        return any(payload != self._own for payload in notes)

    def _lose(self) -> None:
        self._raw = None
        if self._connection is not None:
            self._connection.is_lost = True
            self._connections.give_back(self._connection)
            self._connection = None

    def _reconnect(self) -> bool:
        now = time.monotonic()
        if now < self._retry_at:
            return False
        self._retry_at = now + 1.0
        try:
            self._listen()
        except sa.exc.DBAPIError:
            self._lose()
        return True

    def wait(self, seconds: float) -> bool:
        """Wait for somebody else's notification, at most `seconds`."""
        deadline = time.monotonic() + seconds
        while not self.changed():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._raw is None:
                time.sleep(min(left, 0.1))
            else:
                select.select([self._raw], [], [], left)
        return True

    def close(self) -> None:
        """Let others have the connection, which listens no more: the server would keep for it what nobody reads."""
        if self._connection is None:
            return
        try:
            self._connection.send("UNLISTEN rxsql")
        except sa.exc.DBAPIError:
            self._connection.is_lost = True
        self._connections.give_back(self._connection)
        self._raw = self._connection = None
