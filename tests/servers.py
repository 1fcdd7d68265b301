"""SQL Server for the tests: the one that RXSQL_TEST_MSSQL names, else a container where a Docker engine answers."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import sqlalchemy as sa

from rxsql.errors import StoreError
from rxsql.store.engine import Store, _open, connect
from rxsql.store.tables import metadata

IMAGE = "mcr.microsoft.com/mssql/server:2022-latest"
VARIANTS = {
    "mssql": "ALTER DATABASE {name} SET READ_COMMITTED_SNAPSHOT OFF",
    "mssql-rcsi": "ALTER DATABASE {name} SET READ_COMMITTED_SNAPSHOT ON",
    "mssql-optimized": (
        "ALTER DATABASE {name} SET READ_COMMITTED_SNAPSHOT ON; "
        "ALTER DATABASE {name} SET ACCELERATED_DATABASE_RECOVERY = ON; "
        "ALTER DATABASE {name} SET OPTIMIZED_LOCKING = ON"
    ),
}

OTHER_DRIVER = "mssql-python"  # the plain variant's database through the other driver
KINDS = (*VARIANTS, OTHER_DRIVER)


@contextmanager
def sql_server() -> Iterator[str]:
    """The connection string of a server where databases may be made; skips, with the reason, where there is none."""
    given = os.environ.get("RXSQL_TEST_MSSQL")
    if given:
        yield given
        return
    reason = _why_no_container()
    if reason:
        pytest.skip(f"SQL Server: RXSQL_TEST_MSSQL is not set, and {reason}")
    from testcontainers.mssql import SqlServerContainer

    password = f"Rx-{uuid.uuid4().hex}"
    container = SqlServerContainer(IMAGE, password=password).with_env("MSSQL_SA_PASSWORD", password)
    with container.with_env("MSSQL_PID", "Developer"):
        host, port = container.get_container_host_ip(), container.get_exposed_port(1433)
        yield f"Server=tcp:{host},{port};UID=sa;PWD={password};Encrypt=yes;TrustServerCertificate=yes"


def needs_container() -> bool:
    """Whether a container would be started: it is a session's own, and takes much memory."""
    return not os.environ.get("RXSQL_TEST_MSSQL") and not _why_no_container()


def _why_no_container() -> str:
    if os.environ.get("ACCEPT_EULA", "").upper() != "Y":
        return "ACCEPT_EULA=Y is not set, without which its container does not start"
    try:
        import docker

        docker.from_env().ping()
    except Exception as error:
        return f"no Docker engine answers ({type(error).__name__})"
    try:
        import pyodbc  # noqa: F401
    except ImportError as error:
        return f"pyodbc cannot be loaded ({error})"
    return ""


@contextmanager
def database(server: str, variant: str) -> Iterator[str]:
    """A database of its own on a server, as that variant of locking; the name of a store in it."""
    name = f"rxsql_{variant.replace('-', '_')}_{uuid.uuid4().hex[:12]}"
    master = connect(_store_name(server, "master"))
    try:
        _insist(master, f"CREATE DATABASE {name}")  # another session may be making one
        try:
            _set(master, VARIANTS[variant].format(name=name), variant)
            yield _store_name(server, name)
        finally:
            for store in [store for (_, opened), store in _open.items() if name in opened]:
                store.close()  # this process's clients keep theirs open
            with suppress(StoreError):  # a server that does not know this lets the database go without
                _run(master, f"ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE")
            _insist(master, f"DROP DATABASE {name}")  # its last connection may be about to end
    finally:
        master.close()


def through_mssql_python(name: str) -> str:
    """The name of the same store through the driver mssql-python; skips where that is not another or not there."""
    pytest.importorskip("mssql_python", reason="mssql-python is not installed", exc_type=ImportError)
    if "://" not in name:
        url = sa.URL.create("mssql+mssqlpython", query={"odbc_connect": name})
        return url.render_as_string(hide_password=False)
    url = sa.make_url(name)
    if url.get_driver_name() == "mssqlpython":
        pytest.skip("SQL Server: RXSQL_TEST_MSSQL names the driver mssql-python, by which all tests go then")
    return url.set(drivername="mssql+mssqlpython").render_as_string(hide_password=False)


def _insist(master: Store, statement: str) -> None:
    """Run a statement for which the server wants to be alone with a database for a moment."""
    deadline = time.monotonic() + 20
    while True:
        try:
            _run(master, statement)
            return
        except StoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _store_name(server: str, database: str) -> str:
    if "://" in server:
        return sa.make_url(server).set(database=database).render_as_string(hide_password=False)
    return f"{server.rstrip(';')};Database={database}"


def _run(master: Store, statement: str) -> None:
    with master.read() as connection:
        connection.exec_driver_sql(statement)


def _set(master: Store, statements: str, variant: str) -> None:
    """Set how the database locks; the plain variant is also what a server without such settings has."""
    try:
        for statement in statements.split(";"):
            _run(master, statement)
    except StoreError as error:
        if variant != "mssql":
            pytest.skip(
                f"SQL Server: no {variant.removeprefix('mssql-')} on this server ({str(error)[-120:]})"
            )


def clear(store: Store) -> None:
    """Remove all rows, so that the next test finds an empty store."""
    with store.write() as connection:
        for table in metadata.sorted_tables:
            if table.name != "schema_version":
                connection.execute(sa.delete(table))
