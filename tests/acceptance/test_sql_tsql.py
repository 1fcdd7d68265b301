"""T-SQL on SQL Server: the scripts in tsql/, each with what it is to return, through the ODBC driver.

A script's comments say what comes of it: `columns` (name and Python type) and `rows` once a result set, `messages`, or
`error` (number and text). Where the server is Babelfish, which has no WAITFOR and no function that describes a query,
three small procedures are replaced (tsql/babelfish.sql), and what it cannot show is skipped by name.
"""

from __future__ import annotations

import datetime as dt
import decimal
import contextlib
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
from conftest import wait_until
from sqlscripts import blocks
from support import scalar

from rxsql.client.publishing import publish
from rxsql.store import sqlfiles
from rxsql.store.engine import Store, connect

SCRIPTS = sorted(path for path in (Path(__file__).parent / "tsql").glob("*.sql") if path.stem != "babelfish")
NAMES = {"Decimal": decimal.Decimal, "date": dt.date, "time": dt.time, "datetime": dt.datetime}


@pytest.fixture(scope="module")
def server(mssql_databases: Callable[[str], str]) -> Iterator[Store]:
    """A database with the procedures, fitted to Babelfish where it is that."""
    store = connect(mssql_databases("mssql"))
    if "Babelfish" in str(scalar(store, "SELECT @@VERSION")):
        fitted = (Path(__file__).parent / "tsql" / "babelfish.sql").read_text(encoding="utf-8")
        with store.read() as connection:
            for statement in sqlfiles.statements(fitted):
                connection.exec_driver_sql(statement)
    yield store
    servers.clear(store)
    store.close()


@pytest.fixture(scope="module")
def worker(server: Store) -> Iterator[None]:
    """One worker for all, with pandas imported before it forks."""
    environment = {
        **os.environ,
        "RXSQL_STORE": server.url,
        "RXSQL_LEASE_SECONDS": "8",
        "RXSQL_PRELOAD": "pandas",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "rxsql.worker"], env=environment, stderr=subprocess.DEVNULL
    )
    yield
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


def expected(text: str, word: str) -> list[str]:
    return re.findall(rf"^-- {word}: (.*)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def is_babelfish(server: Store) -> bool:
    return "Babelfish" in str(scalar(server, "SELECT @@VERSION"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_does_what_it_says(path: Path, worker: None, cursor: Any, is_babelfish: bool) -> None:
    """The script's result sets have the values and types, and its error the number and words, that it names."""
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


def test_many_rows_keep_their_order(worker: None, cursor: Any) -> None:
    """Rows of several pages go in by the order asked for, and come back in the order that the script leaves."""
    cursor.execute("DROP TABLE IF EXISTS dbo.many")
    cursor.execute("CREATE TABLE dbo.many (n INT NOT NULL)")
    cursor.fast_executemany = True
    cursor.executemany("INSERT INTO dbo.many (n) VALUES (?)", [(n,) for n in range(25_000)])
    answer = Answer(
        cursor,
        "EXEC rx.sp_execute_external_script @language = N'Python', @script = N'OutputDataSet = InputDataSet', "
        "@input_data_1 = N'SELECT n FROM dbo.many', @input_data_1_order_by_columns = N'n DESC'",
    )
    assert [n for (n,) in answer.rows[0]] == list(range(24_999, -1, -1))


def test_a_published_function_is_called_with_json(
    server: Store, worker: None, cursor: Any, tmp_path: Path
) -> None:
    """What was published is run by its name with JSON arguments, and its result is rows."""
    (tmp_path / "published_tsql.py").write_text(
        "def twice(k, word='x'):\n    return [{'k': k, 'twice': 2 * k, 'word': word}]\n", encoding="utf-8"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        publish(server, "published_tsql:twice")
    finally:
        sys.path.remove(str(tmp_path))
    answer = Answer(cursor, """EXEC rx.run_function N'twice', N'{"k": 21}'""")
    assert answer.columns == ["k int, twice int, word str"]
    assert answer.rows == [[(21, 42, "x")]]
    with pytest.raises(Exception, match=r"51003.*|TypeError"):
        Answer(cursor, """EXEC rx.run_function N'twice', N'{"nothing": 1}'""")


_CALLER = """
import sys
import pyodbc

pyodbc.connect(sys.argv[1], autocommit=True).execute(
    "EXEC rx.sp_execute_external_script @language = N'Python', @script = N'import time, os\\n"
    "for n in range(6000):\\n    print(n)\\n    time.sleep(0.1)'"
)
"""


def test_a_caller_that_is_killed_has_its_job_canceled(server: Store, worker: None, cursor: Any) -> None:
    """When the process that waits in the procedure dies, the job is canceled."""
    caller = subprocess.Popen([sys.executable, "-c", _CALLER, server.dialect._odbc])
    try:
        newest = "FROM rx.jobs WHERE job_key = (SELECT MAX(job_key) FROM rx.waiters)"
        wait_until(lambda: scalar(server, f"SELECT status {newest}") == "running")
        job_id = scalar(server, f"SELECT job_id {newest}")
    finally:
        caller.kill()
        caller.wait()
    job = f"FROM rx.jobs WHERE job_id = '{job_id}'"
    wait_until(lambda: scalar(server, f"SELECT status {job}") == "canceled", seconds=40)
    assert "went away" in str(scalar(server, f"SELECT error {job}"))


def test_a_caller_that_is_silent_has_its_job_canceled(server: Store, worker: None, cursor: Any) -> None:
    """A job whose waiter was not seen for a while is canceled by a worker."""
    Answer(
        cursor,
        "DECLARE @job_id NVARCHAR(128) = N'left-alone'; "
        "EXEC rx.submit_script @script = N'import time; time.sleep(600)', @is_waiting = 1, @job_id = @job_id OUTPUT",
    )
    cursor.execute("UPDATE rx.waiters SET seen_at = DATEADD(MINUTE, -1, seen_at)")
    job = "FROM rx.jobs WHERE job_id = 'left-alone'"
    wait_until(lambda: scalar(server, f"SELECT status {job}") == "canceled")
    assert "went away" in str(scalar(server, f"SELECT error {job}"))


def test_ordinary_users_run_what_their_role_is_for(
    server: Store, worker: None, cursor: Any, is_babelfish: bool
) -> None:
    """A caller may run published functions and not scripts, a scripter scripts; neither reads tables or others' jobs."""
    if is_babelfish:
        pytest.skip("Babelfish: rights on a procedure do not reach the procedures it calls")
    names = {role: f"{role}_{uuid.uuid4().hex[:8]}" for role in ("rx_caller", "rx_scripter")}
    database = scalar(server, "SELECT DB_NAME()")
    for role, name in names.items():
        cursor.execute(f"CREATE LOGIN {name} WITH PASSWORD = 'Rx_{name}_1', DEFAULT_DATABASE = {database}")
        cursor.execute(f"CREATE USER {name} FOR LOGIN {name}")
        cursor.execute(f"ALTER ROLE {role} ADD MEMBER {name}")
    try:
        script = "EXEC rx.sp_execute_external_script @language = N'Python', @script = N'import pandas; "
        script += 'OutputDataSet = pandas.DataFrame({"a": [1]})\''
        with as_user(server, names["rx_scripter"]) as scripter:
            assert Answer(scripter, script).rows == [[(1,)]]
            with pytest.raises(Exception, match="permission"):
                Answer(scripter, "SELECT * FROM rx.frames")
            cursor.execute("DROP TABLE IF EXISTS dbo.secrets; CREATE TABLE dbo.secrets (x INT)")
            with pytest.raises(Exception, match="permission"):
                Answer(scripter, f"{script}, @input_data_1 = N'SELECT * FROM dbo.secrets'")
        with as_user(server, names["rx_caller"]) as caller, pytest.raises(Exception, match="permission"):
            Answer(caller, script)
    finally:
        for name in names.values():
            cursor.execute(f"DROP USER {name}")
            cursor.execute(f"DROP LOGIN {name}")


@contextlib.contextmanager
def as_user(server: Store, name: str) -> Iterator[Any]:
    import pyodbc

    given = re.sub(
        r"UID=[^;]*", f"UID={name}", re.sub(r"PWD=[^;]*", f"PWD=Rx_{name}_1", server.dialect._odbc)
    )
    connection = pyodbc.connect(given, autocommit=True)
    try:
        yield connection.cursor()
    finally:
        connection.close()


def test_the_readmes_call_does_what_it_says(worker: None, cursor: Any) -> None:
    """The README's call prints a message and returns the totals."""
    (block,) = blocks("tsql")
    answer = Answer(cursor, block)
    assert answer.messages == ["rows: 2"]
    assert sorted(answer.rows[0]) == [("jam", 3.0, 30.0), ("tea", 2.0, 20.0)]
