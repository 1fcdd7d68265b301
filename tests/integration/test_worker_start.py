"""The start of a worker whose store cannot be had at that moment: what passes is waited for, with lines in its log."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import wait_until
from lossyproxy import LossyProxy

from rxsql.store import install
from rxsql.store.engine import connect


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What the worker says."""
    return tmp_path / "worker.log"


@pytest.fixture
def command(log: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Run `rxsql worker` on a store; it is ended afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def run(url: str, *options: str, **settings: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "RXSQL_STORE": url, "RXSQL_SLOTS": "1", **settings}
        words = [sys.executable, "-m", "rxsql.cli", "worker", *options]
        with log.open("wb") as output:
            started.append(subprocess.Popen(words, env=environment, stdout=output, stderr=output))
        return started[-1]

    yield run
    for process in started:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def locked(store_path: Path) -> Iterator[sqlite3.Connection]:
    """A store that somebody holds locked for long."""
    store = connect(str(store_path))
    install.install(store)
    store.close()
    connection = sqlite3.connect(store_path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def waits(log: Path) -> bool:
    """Whether the worker has said twice that it waits."""
    return log.read_text().count("store.trouble retry_seconds=") >= 2


def works(log: Path) -> bool:
    """Whether the worker has said that it works."""
    return "worker.started" in log.read_text()


def test_locked_store(store_path, locked, command, log):
    """A worker that finds its file locked waits for it, then works, and ends with 0 when it is asked to."""
    worker = command(str(store_path), RXSQL_BUSY_TIMEOUT_SECONDS="0.05")
    wait_until(lambda: waits(log))
    assert "is locked by another process" in log.read_text()
    locked.execute("ROLLBACK")
    wait_until(lambda: works(log))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0


def test_told_to_end_while_it_waits(store_path, locked, command, log):
    """A worker that waits for its store ends when it is asked to, and has then not begun."""
    worker = command(str(store_path), RXSQL_BUSY_TIMEOUT_SECONDS="0.05")
    wait_until(lambda: waits(log))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 128 + signal.SIGTERM
    assert not works(log) and "Traceback" not in log.read_text()


@pytest.mark.parametrize("error", ["AssertionError()", "StoreUnreachableError('lost')"])
def test_told_to_end_in_the_midst_of_a_librarys_work(tmp_path, error):
    """Whatever a library makes of the interruption, a worker that is told to end at its start does, and without noise."""
    code = f"""
import os, signal
from rxsql.errors import StoreUnreachableError
from rxsql.store import engine
from rxsql.worker import __main__

def interrupted(name):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except SystemExit:
        raise {error}

engine.open_store = interrupted
raise SystemExit(__main__.main([]))
"""
    words = [sys.executable, "-c", code]
    environment = {**os.environ, "RXSQL_STORE": str(tmp_path / "jobs.db")}
    worker = subprocess.run(words, env=environment, stderr=subprocess.PIPE, text=True, timeout=60)
    assert worker.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in worker.stderr


def test_locked_for_longer_than_it_would_idle(store_path, locked, command, log):
    """A worker that is to end when idle waits for its store no longer than for work, then ends with 1 and says why."""
    settings = {"RXSQL_BUSY_TIMEOUT_SECONDS": "0.05", "RXSQL_IDLE_EXIT_SECONDS": "1"}
    worker = command(str(store_path), "--exit-when-idle", **settings)
    assert worker.wait(timeout=20) == 1
    assert waits(log)
    assert "rxsql worker: The store" in log.read_text() and "Traceback" not in log.read_text()


def test_server_out_of_reach(postgresql_url, tmp_path_factory, command, log):
    """A worker that is started before its server is there waits for it, then works."""
    store = connect(postgresql_url)
    install.install(store)
    store.close()
    way = tmp_path_factory.mktemp("p") / "s"
    worker = command(
        f"postgresql://postgres@/{postgresql_url.partition('?')[0].rpartition('/')[2]}?host={way}"
    )
    wait_until(lambda: waits(log))
    assert "cannot be reached" in log.read_text()
    with closing(LossyProxy(postgresql_url, way, "nothing of the kind")):
        wait_until(lambda: works(log))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=20) == 0


def test_whoever_started_it_is_gone(store_path, log):
    """A worker that is to live until somebody ends it ends itself, when there is nobody whom it could tell of it."""
    reader, writer = os.pipe()
    os.close(reader)
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "rxsql.worker", "--ready-fd", str(writer)],
            env={**os.environ, "RXSQL_STORE": str(store_path)},
            stderr=output,
            pass_fds=[writer],
        )
    os.close(writer)
    assert worker.wait(60) == 0
    assert "worker.stopped" in log.read_text()
