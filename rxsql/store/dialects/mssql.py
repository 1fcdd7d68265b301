"""SQL Server as a store: schema `rx`, hinted statements in short transactions, polling."""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.errors import StoreConflictError, StoreError, StoreRefusedError, StoreUnreachableError
from rxsql.store.dialects import bulk, odbc, remedies
from rxsql.store.dialects.serverconnections import ServerConnection, ServerConnections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import URL, Connection, Engine

    from rxsql.settings import Settings
    from rxsql.store.dialects.plans import Plan, Rows
    from rxsql.store.protocols import Lender

_PASSING_STATES = frozenset({"08001", "HYT00", "HYT01"})  # the server does not answer
_NO_CONNECTION = frozenset({"08001", "HYT01", "IM002", "01000"})
_SUBSTITUTE = "Without a SQL Server: set RXSQL_STORE to the path of an SQLite file, which takes its place."
_NO_DIALECT = (
    "SQLAlchemy {found} has no dialect for mssql+{driver}. Name mssql+pyodbc or mssql+mssqlpython in the URL; the "
    "latter needs SQLAlchemy 2.1, which comes with: pip install 'rxsql[mssql-python]'"
)
_BEGIN = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN TRANSACTION"
_TWO_UNITS = "\N{SNAKE}"  # one character, in UTF-16 two units
_LONG_TEXT, _WRONG_PRECISION = "-" * 4001, "HY104"
_SHORTEST_POLL, _LONGEST_POLL = 0.01, 1.0  # seconds


class StoreDialect:
    """How rxsql uses a SQL Server database."""

    name = "mssql"
    embedded = False
    schema = "rx"
    values = None  # none apart

    def __init__(self, url: URL, settings: Settings) -> None:
        self._timeout = settings.busy_timeout_seconds
        self._driver = url.drivername.partition("+")[2] or "pyodbc"
        self.url = url.render_as_string(hide_password=False)
        self._odbc = _odbc_string(url)
        self.label = odbc.label(self._odbc)
        self._counts_units: bool | None = None
        self._connections: ServerConnections | None = None

    def engine(self) -> Engine:
        """Return an engine in autocommit, whose tables are those of schema rx.

        The connection is made here, not by SQLAlchemy: the string then appears in no repr of the engine.
        """
        creator = _creator(self._driver, self._odbc, max(2, round(self._timeout)))
        try:
            return sa.create_engine(
                f"mssql+{self._driver}://",
                creator=creator,
                isolation_level="AUTOCOMMIT",
                execution_options={"schema_translate_map": {None: self.schema}},
                poolclass=sa.NullPool,  # `ServerConnections` keeps them
                use_insertmanyvalues=False,
            )
        except sa.exc.NoSuchModuleError:
            raise StoreError(_NO_DIALECT.format(driver=self._driver, found=sa.__version__)) from None

    def reader(self, engine: Engine) -> Lender:
        """Return what lends a connection for reading."""
        return self._connections_of(engine).read

    def writer(self, engine: Engine, *, durable: bool, early: bool = False) -> Lender:  # noqa: ARG002 - the server decides
        """Return what lends a connection in a write transaction."""
        return partial(self._connections_of(engine).write, _BEGIN)

    def _connections_of(self, engine: Engine) -> ServerConnections:
        if self._connections is None:
            self._connections = ServerConnections(engine, self, OdbcConnection)
        return self._connections

    def insert_many(
        self, connection: Connection, statement: sa.TextClause, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Insert rows by the thousand: each statement is the same, whatever it inserts, and is compiled once."""
        if self._counts_units is None:  # the database's collation decides
            self._counts_units = connection.scalar(sa.select(sa.func.len(_TWO_UNITS))) == len(_TWO_UNITS) + 1
        for parameters in bulk.packed(rows, counts_units=self._counts_units):
            connection.execute(statement, parameters)

    def notify(self, _connection: Connection, _statement: sa.TextClause, _own: str) -> None:
        """Nothing to do: the others poll."""

    def wakeup(self, _engine: Engine, _own: str) -> PollWakeup:
        """Return a hint that only says when it is time to look again."""
        return PollWakeup()

    def close(self) -> None:
        """Give back the connections that wait for their next use."""
        if self._connections is not None:
            self._connections.close()

    def translate(self, error: sa.exc.DBAPIError) -> StoreError:
        """Say SQL Server's and its drivers' errors in rxsql's words."""
        text = " ".join(str(error.orig).split())
        facts = remedies.facts(error.orig or error)
        remedy = remedies.remedy(*facts)
        passing = remedies.is_transient(facts.number, facts.sqlstate) or (
            facts.sqlstate in _PASSING_STATES and remedy not in remedies.LASTING
        )
        refused = (facts.sqlstate or "").startswith("22")  # data: too long, out of range
        kind = StoreUnreachableError if passing else StoreRefusedError if refused else StoreError
        if remedies.is_conflict(facts.number, facts.sqlstate):
            kind = StoreConflictError
        if facts.sqlstate in _NO_CONNECTION:
            remedy = f"{remedy} {_SUBSTITUTE}"
        return kind(f"The store {self.label}: {remedy or 'it refused a statement.'} ({text})")


def _odbc_string(url: URL) -> str:
    given = odbc.from_url(url.username, url.password, url.host, url.port, url.database, url.query)
    return odbc.normalise(given, _drivers())


def _drivers() -> list[str]:
    try:
        import pyodbc  # noqa: PLC0415 - needs a library of the operating system
    except ImportError:
        return []
    return list(pyodbc.drivers())


def _creator(driver: str, connection_string: str, timeout: int) -> Any:
    if driver == "mssqlpython":
        try:
            import mssql_python  # noqa: PLC0415
        except ImportError as error:
            raise StoreError(
                f"The driver mssql-python cannot be loaded ({error}). Install it: pip install 'rxsql[mssql-python]'"
            ) from error
        return lambda: mssql_python.connect(odbc.to_mssql_python(connection_string), timeout=timeout)
    try:
        import pyodbc  # noqa: PLC0415
    except ImportError as error:
        raise StoreError(remedies.remedy(str(error)) or f"pyodbc cannot be loaded: {error}") from error
    pyodbc.pooling = False  # `ServerConnections` keeps them
    return Connector(pyodbc, connection_string, timeout)


class Connector:
    """Connects through pyodbc, whose connections all know what the first one of their string has learned.

    That one may have been lost while it asked the server what that takes: the connections of this process would then
    refuse long texts for ever. So each is tried, and where it refuses one, the string is changed, by an empty setting,
    for the next one to ask anew.
    """

    def __init__(self, pyodbc: Any, connection_string: str, timeout: int) -> None:
        self._pyodbc = pyodbc
        self._string = connection_string
        self._timeout = timeout

    def __call__(self) -> Any:
        """Return a new connection."""
        connection = self._pyodbc.connect(self._string, timeout=self._timeout)
        try:
            connection.execute("SELECT LEN(?)", _LONG_TEXT).close()
            connection.rollback()
        except self._pyodbc.Error as error:
            connection.close()
            if error.args[0] != _WRONG_PRECISION:
                raise
            self._string += ";"
            lost = "[08S01] The connection was lost at its start (SQLDriverConnect)"
            raise self._pyodbc.OperationalError("08S01", lost) from error
        return connection


class OdbcConnection(ServerConnection):
    """A connection through ODBC, which has one statement at a time under way."""

    has_fixed_columns = False  # those of a batch of T-SQL may be others each time
    # The server may have undone the transaction by itself.
    undo = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"

    def ask(self, plan: Plan, values: Any) -> Rows:
        """Have the driver send a statement; return its rows, which know how many it has changed."""
        with closing(self.raw.cursor()) as cursor:
            if plan.sizes:
                cursor.setinputsizes(plan.sizes)
            cursor.execute(plan.text, values)
            rows = plan.rows(cursor)
            rows.rowcount = cursor.rowcount
            return rows

    def say(self, text: str) -> None:
        """Have the driver send a text."""
        with closing(self.raw.cursor()) as cursor:
            cursor.execute(text)


class PollWakeup:
    """Says at growing intervals that it is worth a look; short ones again after there was something."""

    def __init__(self) -> None:
        self._interval = _SHORTEST_POLL
        self._due = 0.0

    def fileno(self, *, knocks_only: bool = False) -> int | None:  # noqa: ARG002 - there are no other hints
        """Return None: there is nothing to watch."""
        return None

    def drain(self) -> bool:
        """Note that there was something: the next looks follow shortly; return False, as nothing is taken by that."""
        self._interval = _SHORTEST_POLL
        return False

    @property
    def look_in(self) -> float | None:
        """Return None: no hint comes before its change."""

    def changed(self) -> bool:
        """Whether it is time to look."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + self._interval
        self._interval = min(_LONGEST_POLL, self._interval * 1.3)
        return True

    def wait(self, seconds: float) -> bool:
        """Wait until it is time to look, at most `seconds`."""
        left = self._due - time.monotonic()
        time.sleep(max(0.0, min(seconds, left)))
        return self.changed()

    def close(self) -> None:
        """Nothing to give back."""
