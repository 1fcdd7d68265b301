"""SQL Server's side of a bad day: refused logins, missing roles, other schemas, and rows changed by hand."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import servers
import sqlalchemy as sa
from lossyproxy import CuttingProxy
from support import scalar

from rxsql import RxInSqlServer, rx_exec, rx_get_job_results, rx_get_job_status, rx_wait_for_job
from rxsql.errors import FailedRunsWarning, NoWorkerWarning, SchemaVersionError, StoreError
from rxsql.store import install
from rxsql.store.dialects import odbc
from rxsql.store.engine import Store, connect, open_store
from rxsql.store.retry import insist
from rxsql.store.tables import SCHEMA_VERSION

pytestmark = pytest.mark.parametrize("any_url", ["mssql"], indirect=True)


def changed(name: str, **values: str) -> str:
    """The name of a store with other keywords; a URL as an ODBC string."""
    if "://" in name:
        url = sa.make_url(name)
        name = odbc.from_url(url.username, url.password, url.host, url.port, url.database, url.query)
    given = {
        key: value for key, value in odbc.parse(name).items() if key.lower() not in map(str.lower, values)
    }
    return odbc.written(given | values)


def run(store: Store, *statements: str) -> None:
    with store.read() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def login(store: Store, any_url: str) -> Iterator[Callable[..., str]]:
    """Make a login with some roles; the name of the store as that login."""
    made: list[str] = []

    def make(*roles: str) -> str:
        name, password = f"rxsql_{secrets.token_hex(6)}", f"Rx-{secrets.token_hex(12)}"
        made.append(name)
        run(
            store, f"CREATE LOGIN {name} WITH PASSWORD = '{password}'", f"CREATE USER {name} FOR LOGIN {name}"
        )
        run(store, *(f"ALTER ROLE {role} ADD MEMBER {name}" for role in roles))
        return changed(any_url, UID=name, PWD=password)

    yield make
    for name in made:
        with suppress(StoreError):  # its sessions may still be there
            run(store, f"DROP USER {name}", f"DROP LOGIN {name}")


def close(name: str) -> None:
    for store in [store for (_, opened), store in servers._open.items() if opened == name]:
        store.close()


# ------------------------------------------------------------------------------------------------- refusals


def test_wrong_password(login):
    """A wrong password is told as such and shown nowhere."""
    with pytest.raises(StoreError, match="refused the login: check that UID and PWD") as caught:
        open_store(changed(login("rx_client"), PWD="swordfish-4711"))
    assert "swordfish" not in str(caught.value)


def test_unknown_database(any_url):
    """An unknown database is told as such."""
    with pytest.raises(
        StoreError, match="The database does not exist on this server, or the login has no user"
    ):
        open_store(changed(any_url, Database="nobody_made_this"))


@pytest.mark.parametrize(
    ("roles", "remedy"),
    [
        (["rx_reader"], r"permission in schema rx.*member of rx_client to submit jobs"),
        ([], r"this user has none of its roles: rx_client submits jobs, rx_worker runs them"),
    ],
)
def test_missing_role_is_named(login, roles, remedy):
    """Who may not submit is told which role that needs; nothing is stored."""
    name = login(*roles)
    with pytest.raises(StoreError, match=remedy):
        rx_exec(lambda: 1, compute_context=RxInSqlServer(name, wait=False))
    close(name)


def test_roles_suffice(login, start_worker_on):
    """A client needs no more than rx_client, a worker no more than rx_worker."""
    client = login("rx_client")
    start_worker_on(login("rx_worker"), slots=1)
    assert rx_exec(lambda x: x, x=[1, 2], compute_context=RxInSqlServer(client)) == [1, 2]
    close(client)


@pytest.mark.parametrize(
    ("version", "remedy"), [(SCHEMA_VERSION + 1, "Upgrade rxsql here"), (1, "before the first release")]
)
def test_schema_of_another_version(store, any_url, version, remedy):
    """A newer schema asks for a newer package and is not touched, nor is an older one, which cannot be upgraded."""
    run(store, f"UPDATE rx.schema_version SET version = {version}")
    name = changed(any_url, APP="another")  # a store that this process has not opened yet
    try:
        with pytest.raises(SchemaVersionError, match=remedy):
            rx_exec(lambda: 1, compute_context=RxInSqlServer(name))
        other = connect(name)
        with pytest.raises(SchemaVersionError, match=remedy):
            install.install(other)
        other.close()
    finally:
        run(store, f"UPDATE rx.schema_version SET version = {SCHEMA_VERSION}")
    assert scalar(store, "SELECT COUNT(*) FROM rx.jobs") == 0


# -------------------------------------------------------------------------------------- rows changed by hand


def test_status_that_does_not_exist_is_refused(store, any_url):
    """The tables themselves refuse a status that is none."""
    with pytest.warns(NoWorkerWarning):
        rx_exec(lambda: 1, compute_context=RxInSqlServer(any_url, wait=False))
    for table in ("jobs", "task_rows"):
        with pytest.raises(StoreError, match=f"ck_{table}_status"):
            run(store, f"UPDATE rx.{table} SET status = 'done'")


@pytest.mark.parametrize("deleted", ["input", "function"])
def test_deleted_rows_fail_their_job_only(store, any_url, start_worker_on, deleted):
    """A run whose input, or a job whose function, somebody deleted fails; other jobs and the worker go on."""
    where = RxInSqlServer(any_url, wait=False, num_tasks=0, auto_cleanup=False)
    with pytest.warns(NoWorkerWarning):
        spoiled = rx_exec(lambda x: len(x), x=[b"a" * 5000, b"b" * 6000], compute_context=where)
        healthy = rx_exec(lambda x: x, x=[1, 2], compute_context=where)
    found = f"SELECT {{}} FROM rx.jobs WHERE job_id = '{spoiled.job_id}'"
    run(
        store,
        f"DELETE FROM rx.inputs WHERE task = 0 AND job_key = ({found.format('job_key')})"
        if deleted == "input"
        else f"DELETE FROM rx.functions WHERE function_hash = ({found.format('function_hash')})",
    )
    process = start_worker_on(any_url, slots=1)
    rx_wait_for_job(healthy)
    rx_wait_for_job(spoiled)
    assert rx_get_job_results(healthy) == [1, 2]
    assert rx_get_job_status(spoiled) == ("finished" if deleted == "input" else "failed")
    if deleted == "input":
        with pytest.warns(FailedRunsWarning):
            lost, kept = rx_get_job_results(spoiled)
        assert isinstance(lost, Exception) and kept == 6000
    assert process.poll() is None


def test_reference_example_by_its_odbc_string(any_url, start_worker_on):
    """A context that names the server as revoscalepy's users do, with any keywords and case, runs the example."""
    start_worker_on(any_url, slots=1)
    values: dict[str, Any] = odbc.parse(changed(any_url))
    spelling = {"server": "Data Source", "database": "initial catalog", "uid": "User ID", "pwd": "password"}
    text = odbc.written({spelling.get(key.lower(), key): value for key, value in values.items()})
    where = RxInSqlServer(f"{text};", num_tasks=1, console_output=True, wait=False)
    job = rx_exec(lambda: print("Hello from SQL server") or "done", compute_context=where)
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == ["done"]


def length_of(store: Store, text: str) -> int:
    with store.read() as connection:
        return int(connection.scalar(sa.text("SELECT LEN(:text)"), {"text": text}))


def test_a_connection_lost_at_its_start_spoils_no_other(any_url):
    """Wherever the server is lost while a process connects for the first time, later connections take long texts."""
    server = odbc.parse(changed(any_url))
    (address,) = (value for key, value in server.items() if key.lower() in ("server", "addr", "address"))
    host, _, port = address.removeprefix("tcp:").partition(",")
    proxy = CuttingProxy((host, int(port or 1433)))
    for answers in range(10):
        name = changed(any_url, Server=f"tcp:127.0.0.1,{proxy.port}", APP=secrets.token_hex(8))
        store = connect(name)
        proxy.answers = answers
        with suppress(StoreError):
            scalar(store, "SELECT 1")
        proxy.answers = None
        length = insist(lambda store=store: length_of(store, "x" * 5000), seconds=10)
        assert length == 5000
        store.close()
    proxy.close()
