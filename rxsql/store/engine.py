"""Opens a store by its URL and runs transactions on it; the only place that knows there are dialects."""

from __future__ import annotations

import atexit
import os
import secrets
import threading
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.errors import (
    NotSupportedError,
    SchemaVersionError,
    StoreError,
)
from rxsql.settings import Settings, default_store
from rxsql.store import sqlfiles
from rxsql.store.tables import SCHEMA_VERSION, constant
from rxsql.storename import is_odbc, redacted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import Connection, Engine

    from rxsql.store.protocols import Dialect, Wakeup


class Store:
    """An open store: transactions, statements by name, and a hint for changes."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.url = dialect.url
        self.label = dialect.label
        self._engine = dialect.engine()
        self._reader = dialect.reader(self._engine)
        self._durable_writer = dialect.writer(self._engine, durable=True)
        self._early_writer = dialect.writer(self._engine, durable=True, early=True)
        self._fast_writer = dialect.writer(self._engine, durable=False)
        self._sender = secrets.token_hex(8)
        self.left_function = ""  # the hash of the one that this process has left there, for the next job
        self._opened_by = os.getpid()

    def __repr__(self) -> str:
        return f"Store({self.label!r})"

    @property
    def engine(self) -> Engine:
        """The engine underneath, for those who watch what is sent."""
        return self._engine

    def read(self) -> AbstractContextManager[Connection]:
        """Read without a transaction: each statement sees what is committed."""
        return self._reader()

    def write(self, *, durable: bool = True) -> AbstractContextManager[Connection]:
        """Write in one short transaction, with the write lock from its start.

        Args:
            durable: Whether the commit must survive a loss of power; what would merely be done again need not.
        """
        return self._durable_writer() if durable else self._fast_writer()

    def write_early(self) -> AbstractContextManager[Connection]:
        """Write likewise what others may begin with before a loss of power could not undo it; at the end it cannot."""
        return self._early_writer()

    def sql(self, name: str) -> sa.TextClause:
        """Return a statement of this dialect by its file's name."""
        return _statement(self.dialect.name, name)

    def insert_many(self, connection: Connection, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, all with the same columns, by the statement of that name; nothing where there are none."""
        if rows:
            self.dialect.insert_many(connection, self.sql(name), rows)

    def wakeup(self) -> Wakeup:
        """Return a new hint for changes in this store; close it."""
        return self.dialect.wakeup(self._engine, self._sender)

    def notify(self, connection: Connection) -> None:
        """Tell others of a change with this transaction's commit, where the database can."""
        self.dialect.notify(connection, self.sql("notify"), self._sender)

    def close(self) -> None:
        """Close all connections; those that a forked process finds here are its parent's."""
        if self._opened_by == os.getpid():
            self.dialect.close()
            self._engine.dispose()


@cache
def _statement(dialect: str, name: str) -> sa.TextClause:
    return constant(sa.text(sqlfiles.query(dialect, name)))


# --------------------------------------------------------------------------------------------------- opening

_DIALECTS = {
    "sqlite": "rxsql.store.dialects.sqlite",
    "postgresql": "rxsql.store.dialects.postgresql",
    "mssql": "rxsql.store.dialects.mssql",
}
_open: dict[tuple[int, str], Store] = {}
_lock = threading.Lock()


def open_store(name: str | None = None) -> Store:
    """Return the store of that name, opened once a process, with a schema of this package's version.

    Args:
        name: A path, an SQLAlchemy URL or an ODBC string; None for `RXSQL_STORE`, else the default file.

    Raises:
        StoreError: The store cannot be used; the message says what to do.
        NotSupportedError: It names a kind of database that rxsql does not serve.
    """
    # A connection must never cross a fork, so a forked process opens its own.
    key = (os.getpid(), name or Settings.from_environment().store or default_store())
    with _lock:
        store = _open.get(key)
        if store is None:
            store = connect(key[1])
            try:
                check_version(store)
            except BaseException:
                store.close()
                raise
            _open[key] = store
            # The last to close an SQLite file folds its log into it: what is left is one file that can be copied.
            atexit.register(store.close)
        return store


def connect(name: str) -> Store:
    """Open a store without a look at its schema."""
    return Store(dialect_for(name))


def dialect_for(name: str) -> Dialect:
    """Return the dialect that serves a path, a URL or an ODBC string."""
    if not name.strip():
        raise StoreError("The store's name is empty. Give a path, or a URL such as sqlite:///jobs.db.")
    if is_odbc(name):
        name = sa.URL.create("mssql+pyodbc", query={"odbc_connect": name}).render_as_string(
            hide_password=False
        )
    if "://" not in name:
        name = f"sqlite:///{name}"
    try:
        url = sa.make_url(name)
    except (sa.exc.ArgumentError, ValueError):
        raise StoreError(
            f"{redacted(name)!r} is neither a path nor a URL. Give a path, or a URL such as sqlite:///jobs.db."
        ) from None
    module = _DIALECTS.get(url.get_backend_name())
    if module is None:
        served = ", ".join(sorted(_DIALECTS))
        raise NotSupportedError(f"rxsql has no store for {url.get_backend_name()!r}; it serves: {served}.")
    found: Dialect = import_module(module).StoreDialect(url, Settings.from_environment())
    return found


def check_version(store: Store) -> None:
    """Install the schema where the store is embedded and empty; otherwise insist on this package's version."""
    from rxsql.store import install  # noqa: PLC0415 - install needs Store

    found = install.installed_version(store)
    if found == SCHEMA_VERSION:
        return
    if found or not store.dialect.embedded:
        raise SchemaVersionError(store.label, found, SCHEMA_VERSION)
    install.install(store)
