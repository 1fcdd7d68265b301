"""T-SQL on SQL Server: the scripts in tsql/, each with what it is to return, through the ODBC driver.

A script's comments say what comes of it: `columns` (name and Python type) and `rows` once a result set, `messages`, or
`error` (number and text). Where the server is Babelfish, which has no WAITFOR and no function that describes a query,
three small procedures are replaced (tsql/babelfish.sql), and what it cannot show is skipped by name.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_until
from sqlscripts import blocks
from support import scalar
from tsqlserver import (
    SCRIPTS,
    Answer,
    check_script,
    connection,
    cursor,
    ended,
    is_babelfish,
    server,
    worker,
)

from rxsql.client.publishing import publish
from rxsql.store.engine import Store


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_does_what_it_says(path: Path, worker: None, cursor: Any, is_babelfish: bool) -> None:
    """The script's result sets have the values and types, and its error the number and words, that it names."""
    check_script(path, cursor, is_babelfish)


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
            many = "SELECT TOP (12000) a.column_id FROM sys.all_columns AS a CROSS JOIN sys.all_columns AS b"
            assert Answer(scripter, f"{script}, @input_data_1 = N'{many}'").rows == [[(1,)]]
            key = _submitted(scripter, server, "mine", "import time; time.sleep(600)", many)
            table = f"rx.input_{key}"
            for refused in (
                f"SELECT * FROM {table}",
                f"INSERT INTO {table} (task, page, place) VALUES (9, 9, 9)",
                f"DROP TABLE {table}",
                "EXEC rx.drop_table 1, 'in'",
            ):
                with pytest.raises(Exception, match="permission"):
                    Answer(scripter, refused)
            Answer(scripter, "EXEC rx.cleanup_job N'mine'")
            assert scalar(server, f"SELECT OBJECT_ID('{table}')") is None
            large = "import pandas; OutputDataSet = pandas.DataFrame({'a': ['x' * 100] * 20000})"
            key = _submitted(scripter, server, "large", large)
            assert ended(server, "large") == ("finished", None)
            assert len(Answer(scripter, "EXEC rx.fetch_result N'large'").rows[0]) == 20_000
            for refused in (
                f"SELECT * FROM rx.output_{key}",
                f"EXEC rx.select_output_table {key}",
                f"EXEC rx.add_output {key}, 0, 9, 0, N'[]', N'[]'",
            ):
                with pytest.raises(Exception, match="permission"):
                    Answer(scripter, refused)
            Answer(scripter, "EXEC rx.cleanup_job N'large'")
            assert scalar(server, f"SELECT OBJECT_ID('rx.output_{key}')") is None
            cursor.execute("DROP TABLE IF EXISTS dbo.secrets; CREATE TABLE dbo.secrets (x INT)")
            with pytest.raises(Exception, match="permission"):
                Answer(scripter, f"{script}, @input_data_1 = N'SELECT * FROM dbo.secrets'")
        with as_user(server, names["rx_caller"]) as caller, pytest.raises(Exception, match="permission"):
            Answer(caller, script)
    finally:
        for name in names.values():
            cursor.execute(f"DROP USER {name}")
            cursor.execute(f"DROP LOGIN {name}")


def _submitted(scripter: Any, server: Store, job_id: str, script: str, query: str = "") -> int:
    """Submit a script as somebody who may not look at jobs, and return its job's key."""
    Answer(
        scripter,
        "DECLARE @job_id NVARCHAR(128) = ?; "
        "EXEC rx.submit_script @script = ?, @input_data_1 = ?, @job_id = @job_id OUTPUT",
        *(job_id, script, query),
    )
    return int(str(scalar(server, f"SELECT job_key FROM rx.jobs WHERE job_id = '{job_id}'")))


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
