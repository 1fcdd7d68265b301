"""What the tests of T-SQL share: a database with the procedures, a worker, a connection, and a batch's answer."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import servers
from conftest import wait_until
from support import rows_of, scalar

from rxsql.store import jobs, sqlfiles
from rxsql.store.engine import Store, connect

TSQL = Path(__file__).parent / "tsql"
NAMES = {"Decimal": decimal.Decimal, "date": dt.date, "time": dt.time, "datetime": dt.datetime}
SCRIPTS = sorted(path for path in TSQL.glob("*.sql") if path.stem != "babelfish")

# What removes a job's pages: each takes the store, the job's id and a cursor.
REMOVALS: dict[str, Callable[[Store, str, Any], Any]] = {
    "rx.cancel_job": lambda _, job_id, cursor: cursor.execute("EXEC rx.cancel_job ?", job_id),
    "rx.cleanup_job": lambda _, job_id, cursor: cursor.execute("EXEC rx.cleanup_job ?", job_id),
    "cancel": lambda server, job_id, _: jobs.cancel(server, job_id),
    "purge": lambda server, job_id, _: jobs.purge(server, job_id),
}


@pytest.fixture(scope="module")
def server(mssql_databases: Callable[[str], str]) -> Iterator[Store]:
    """A database with the procedures, fitted to Babelfish where it is that."""
    store = connect(mssql_databases("mssql"))
    if "Babelfish" in str(scalar(store, "SELECT @@VERSION")):
        fitted = (TSQL / "babelfish.sql").read_text(encoding="utf-8")
        with store.read() as connection:
            for statement in sqlfiles.statements(fitted):
                connection.exec_driver_sql(statement)
    yield store
    servers.clear(store)
    store.close()


@pytest.fixture(scope="module")
def worker(server: Store) -> Iterator[None]:
    """One worker for all, with pandas imported before it forks."""
    with running_worker(server):
        yield


@contextmanager
def running_worker(server: Store, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker, with these variables in its environment; end it."""
    environment = {
        **os.environ,
        "RXSQL_STORE": server.url,
        "RXSQL_LEASE_SECONDS": "8",
        "RXSQL_PRELOAD": "pandas",
        **settings,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "rxsql.worker"], env=environment, stderr=subprocess.DEVNULL
    )
    yield process
    process.terminate()
    process.send_signal(signal.SIGINT)  # two of a kind may arrive as one
    process.wait(timeout=30)


class Connection:
    """A connection of the driver's own, in autocommit; a new one after what made the last one unusable."""

    def __init__(self, server: Store) -> None:
        self._server = server
        self._raw: Any = None

    def cursor(self) -> Any:
        """Return a cursor, after removing what a script left behind."""
        if self._raw is not None:
            try:
                return self._clean()
            except Exception:
                self.close()
        self._raw = self._server._engine.raw_connection()
        self._raw.driver_connection.autocommit = True
        return self._clean()

    def _clean(self) -> Any:
        cursor = self._raw.driver_connection.cursor()
        cursor.execute("IF @@TRANCOUNT > 0 ROLLBACK")
        for table in ("#found", "#refused", "#mine"):
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
        return cursor

    def close(self) -> None:
        self._raw.invalidate()
        self._raw.close()


@pytest.fixture(scope="module")
def connection(server: Store) -> Iterator[Connection]:
    """The connection that all scripts share."""
    shared = Connection(server)
    yield shared
    shared.close()


@pytest.fixture
def cursor(connection: Connection) -> Any:
    """A cursor."""
    return connection.cursor()


class Answer:
    """All that a batch returned."""

    def __init__(self, cursor: Any, sql: str, *values: Any) -> None:
        self.messages: list[str] = []
        self.columns: list[str] = []
        self.rows: list[list[tuple[Any, ...]]] = []
        cursor.execute(sql, *values)
        while True:
            self.messages += [re.sub(r"^(\[[^]]*\])+", "", text) for _, text in cursor.messages or ()]
            if cursor.description:
                self.columns.append(
                    ", ".join(f"{name} {_kind(kind)}" for name, kind, *_ in cursor.description)
                )
                self.rows.append([tuple(row) for row in cursor.fetchall()])
            if not cursor.nextset():
                return


def _kind(kind: type) -> str:
    return "bytes" if kind is bytearray else kind.__name__


@pytest.fixture(scope="module")
def is_babelfish(server: Store) -> bool:
    return "Babelfish" in str(scalar(server, "SELECT @@VERSION"))


def expected(text: str, word: str) -> list[str]:
    return re.findall(rf"^-- {word}: (.*)$", text, re.MULTILINE)


def check_script(path: Path, cursor: Any, is_babelfish: bool) -> None:
    """Run one of the scripts, and compare what comes of it with what its comments say."""
    text = path.read_text(encoding="utf-8")
    if is_babelfish and (reason := expected(text, "skip on Babelfish")):
        pytest.skip(f"Babelfish {reason[0]}")
    if error := expected(text, "error"):
        with pytest.raises(Exception) as raised:
            Answer(cursor, text)
        _, number, words = re.fullmatch(r"((\d{5}) )?(.*)", error[0]).groups()
        said = str(raised.value)
        assert number is None or f"({number})" in said
        assert any(word in said.replace("\\n", "\n").replace("\\'", "'") for word in words.split("|")), said
        return
    answer = Answer(cursor, text)
    assert answer.columns == expected(text, "columns")
    assert answer.rows == [eval(rows, NAMES) for rows in expected(text, "rows")]
    for messages in expected(text, "messages"):
        assert answer.messages == eval(messages)


def submit(cursor: Any, script: str, job_id: str, *, query: str = "", partition_by: str = "") -> int:
    """Submit a script, and return its job's key."""
    cursor.execute(
        "DECLARE @job_id NVARCHAR(128) = ?; "
        "EXEC rx.submit_script @script = ?, @input_data_1 = ?, @input_data_1_partition_by_columns = ?, "
        "@job_id = @job_id OUTPUT",
        *(job_id, script, query, partition_by),
    )
    while cursor.nextset():
        pass
    return int(cursor.execute("SELECT job_key FROM rx.jobs WHERE job_id = ?", job_id).fetchval())


def exists(cursor: Any, table: str) -> bool:
    """Whether there is such a table."""
    return cursor.execute("SELECT OBJECT_ID(?, 'U')", table).fetchval() is not None


def ended(server: Store, job_id: str) -> tuple[str, str]:
    """Wait for a job's end, and return its status and error."""
    where = f"FROM rx.jobs WHERE job_id = '{job_id}'"
    wait_until(lambda: scalar(server, f"SELECT status {where}") not in ("queued", "running"), seconds=60)
    return rows_of(server, f"SELECT status, error {where}")[0]
