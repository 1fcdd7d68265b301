"""Scripts from plain SQL on SQLite: an INSERT submits one, a view has its rows; published functions from the shell."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import is_alive, wait_until

from sqlscripts import README, blocks

from rxsql import RxInSqlServer, rx_exec, rx_get_job_results, rx_get_job_status
from rxsql.store import sqlfiles
from rxsql.store.engine import open_store


@pytest.fixture
def connection(store_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as anybody has one, who has sqlite3 and the file."""
    open_store(str(store_path)).close()
    opened = sqlite3.connect(store_path, isolation_level=None)
    yield opened
    opened.close()


@pytest.fixture
def ended(connection: sqlite3.Connection) -> Callable[[str], str]:
    """Wait until a job has ended; return its status."""
    query = "SELECT status FROM jobs WHERE job_id = ? AND finished_at IS NOT NULL"
    return lambda job_id: wait_until(lambda: connection.execute(query, (job_id,)).fetchone())[0]


def results(connection: sqlite3.Connection, job_id: str, kind: str = "out") -> list[dict[str, Any]]:
    query = "SELECT result FROM script_results WHERE job_id = ? AND kind = ? ORDER BY task, place"
    return [json.loads(row[0]) for row in connection.execute(query, (job_id, kind))]


def test_an_insert_submits_a_script(
    connection: sqlite3.Connection, start_worker: Any, ended: Callable[[str], str]
) -> None:
    """One INSERT ... SELECT hands rows of a query to a script; its rows, OUTPUT parameters and prints are rows."""
    start_worker()
    connection.execute("CREATE TABLE points (x INTEGER, label TEXT)")
    connection.executemany("INSERT INTO points VALUES (?, ?)", [(1, "ü😀"), (2, None)])
    script = "print('seen', len(InputDataSet))\nOutputDataSet = InputDataSet.assign(y=InputDataSet.x * k, ok=True)\nn = 2"
    connection.execute(
        "INSERT INTO submit_script (job_id, script, input_data, params, output_params) "
        "SELECT 'mine', ?, JSON_GROUP_ARRAY(JSON_OBJECT('x', x, 'label', label)), '{\"k\": 3}', '[\"n\"]' FROM points",
        (script,),
    )
    assert ended("mine") == "finished"
    assert results(connection, "mine") == [
        {"x": 1, "label": "ü😀", "y": 3, "ok": True},
        {"x": 2, "label": None, "y": 6, "ok": True},
    ]
    assert results(connection, "mine", "param") == [{"n": 2}]
    shown = rxsql(
        Path(), "results", "mine", "--store", connection.execute("PRAGMA database_list").fetchone()[2]
    )
    assert shown.returncode == 0, shown.stderr
    assert "ü😀" in shown.stdout
    said = connection.execute("SELECT text FROM console WHERE job_id = 'mine'").fetchall()
    assert said == [("seen 2",)]


def test_an_insert_cancels_a_job(
    connection: sqlite3.Connection, start_worker: Any, store_url: str, tmp_path: Path
) -> None:
    """A job that runs is ended, with its code, by one INSERT; a job that has ended, or is not there, is an error."""
    start_worker()
    pid = tmp_path / "pid"

    def hold(path: str) -> None:
        import os
        import pathlib
        import time

        pathlib.Path(path).write_text(str(os.getpid()))
        time.sleep(600)

    job = rx_exec(hold, path=str(pid), compute_context=RxInSqlServer(store_url, wait=False))
    child = psutil.Process(int(wait_until(lambda: pid.exists() and pid.read_text())))
    connection.execute("INSERT INTO cancel_job (job_id) VALUES (?)", (job.job_id,))
    assert rx_get_job_status(job) == "canceled"
    wait_until(lambda: not is_alive(child))
    assert connection.execute("SELECT status FROM tasks").fetchall() == [("canceled",)]
    for gone in (job.job_id, "nobody"):
        with pytest.raises(sqlite3.IntegrityError, match="There is no open job of this job_id"):
            connection.execute("INSERT INTO cancel_job (job_id) VALUES (?)", (gone,))


def test_only_the_script_is_needed(
    connection: sqlite3.Connection, start_worker: Any, ended: Callable[[str], str]
) -> None:
    """A script without input gets an id of its own, and Python takes its result too."""
    start_worker()
    connection.execute(
        "INSERT INTO submit_script (script) VALUES ('import pandas\nOutputDataSet = pandas.DataFrame({\"a\": [1]})')"
    )
    (job_id,) = connection.execute("SELECT job_id FROM submit_script").fetchone()
    assert ended(job_id) == "finished"
    from rxsql import RxInSqlServer, rx_set_compute_context

    (path,) = {row[2] for row in connection.execute("PRAGMA database_list")}
    rx_set_compute_context(RxInSqlServer(path))
    assert rx_get_job_results(job_id, auto_cleanup=False).output.to_dict("list") == {"a": [1]}


@pytest.mark.parametrize(
    ("columns", "values", "words"),
    [
        ("script", (None,), "script is NULL"),
        ("script, input_data", ("", "{"), "input_data must be a JSON array"),
        ("script, input_data", ("", "{}"), "input_data must be a JSON array"),
        ("script, params", ("", "[1]"), "params must be a JSON object"),
        ("script, output_params", ("", "x"), "output_params must be a JSON array"),
        ("script, job_id", ("", "taken"), "A job of this job_id is there already"),
        ("script, job_id", ("", "a b"), "job_id is not up to 128 letters"),
        ("script, job_id", ("", ""), "job_id is not up to 128 letters"),
        ("script, job_id", ("", "x" * 129), "job_id is not up to 128 letters"),
        ("script, job_id", ("", "a]b"), "job_id is not up to 128 letters"),
        ("script", (b"x = 1",), "A value is a BLOB and no text"),
        ("script, input_data", ("", b"[]"), "A value is a BLOB and no text"),
    ],
)
def test_what_cannot_be_a_job_is_refused_at_once(
    connection: sqlite3.Connection, columns: str, values: tuple[Any, ...], words: str
) -> None:
    """The INSERT fails with a sentence, and nothing is stored."""
    connection.execute("INSERT INTO submit_script (script, job_id) VALUES ('', 'taken')")
    marks = ", ".join("?" * len(values))
    with pytest.raises(sqlite3.IntegrityError, match=words):
        connection.execute(f"INSERT INTO submit_script ({columns}) VALUES ({marks})", values)
    for table in ("jobs", "scripts", "frames", "task_rows"):
        assert connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (1,)


def test_ids_that_python_takes_are_taken(connection: sqlite3.Connection) -> None:
    """A job_id may have what `RxInSqlServer(job_id=...)` takes, letters of any alphabet included."""
    for job_id in ("Az09._:-", "ü", "x" * 128, 5):
        connection.execute("INSERT INTO submit_script (script, job_id) VALUES ('x = 1', ?)", (job_id,))
        RxInSqlServer("jobs.db", job_id=str(job_id))


def test_numbers_keep_their_digits(
    connection: sqlite3.Connection, start_worker: Any, ended: Callable[[str], str]
) -> None:
    """Parameters and results have all digits that they were written with."""
    start_worker()
    connection.execute(
        "INSERT INTO submit_script (job_id, script, input_data, params, output_params) VALUES ('digits', "
        "'OutputDataSet = InputDataSet\nsame = (x == 0.1 + 0.2) and n == 10 ** 20', "
        '\'[{"y": 0.30000000000000004}]\', \'{"x": 0.30000000000000004, "n": 100000000000000000000}\', '
        "'[\"same\"]')"
    )
    assert ended("digits") == "finished"
    assert results(connection, "digits", "param") == [{"same": True}]
    assert results(connection, "digits") == [{"y": 0.1 + 0.2}]


def test_the_readmes_expression_keeps_all_digits(connection: sqlite3.Connection) -> None:
    """What the README writes of a REAL is read as the same number, and NULL stays NULL."""
    (expression,) = re.findall(
        r"with `(JSON\([^`]+)` in place of `price`", README.read_text(encoding="utf-8")
    )
    query = f"SELECT JSON_OBJECT('price', {expression}) FROM (SELECT ? AS price)"
    for price in (0.1 + 0.2, 0.1, 1e300 / 3, -5e-324, 2.0, None):
        (kept,) = connection.execute(query, (price,)).fetchone()
        assert json.loads(kept) == {"price": price}


def test_results_show_when_all_are_there(connection: sqlite3.Connection) -> None:
    """The pages that a script has written so far are no result before the job has finished."""
    connection.execute("INSERT INTO submit_script (job_id, script) VALUES ('half', 'x = 1')")
    connection.execute("UPDATE jobs SET status = 'running'")
    connection.execute(
        "INSERT INTO frames SELECT job_key, 'out', 0, 0, 1, '[[\"a\", \"int\"]]', '[[1]]' FROM jobs"
    )
    assert results(connection, "half") == []
    connection.execute("UPDATE jobs SET status = 'finished'")
    assert results(connection, "half") == [{"a": 1}]


def test_an_insert_that_cancels_leaves_nothing_behind(connection: sqlite3.Connection) -> None:
    """What a job has stored, its crashes too, goes when an INSERT cancels it, as when Python does."""
    connection.execute("INSERT INTO submit_script (job_id, script) VALUES ('gone', 'x = 1')")
    connection.execute(
        "INSERT INTO crash_rows (job_key, task, run, attempt, worker_key) SELECT job_key, 0, 0, 1, 1 FROM jobs"
    )
    connection.execute("INSERT INTO waiters (job_key) SELECT job_key FROM jobs")
    connection.execute("INSERT INTO cancel_job (job_id) VALUES ('gone')")
    for table in ("crash_rows", "waiters", "frames", "scripts"):
        assert connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,), table


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE scripts SET script = x'00'",
        "UPDATE scripts SET script = CAST(x'ff' AS TEXT)",
        "UPDATE scripts SET params = x'5b5d'",
        "UPDATE scripts SET input_name = x'61'",
        "UPDATE frames SET body = x'5b5d'",
        "UPDATE frames SET body = CAST(x'ff' AS TEXT)",
        "UPDATE frames SET header = x'61'",
    ],
)
def test_bytes_where_text_should_be_fail_their_job_only(
    connection: sqlite3.Connection, start_worker: Any, ended: Callable[[str], str], change: str
) -> None:
    """SQLite lets bytes into columns of text: the job fails, and the worker goes on."""
    insert = "INSERT INTO submit_script (job_id, script, input_data) VALUES (?, 'x = 1', '[{\"a\": 1}]')"
    connection.execute(insert, ("bad",))
    connection.execute(change)
    connection.execute(insert, ("good",))
    start_worker()
    assert ended("good") == "finished"
    assert ended("bad") == "failed"


def test_rows_that_are_no_objects_fail_their_job_only(
    connection: sqlite3.Connection, start_worker: Any, ended: Callable[[str], str]
) -> None:
    """Input that is JSON and no table fails its job with a sentence; the next job runs."""
    start_worker()
    insert = "INSERT INTO submit_script (job_id, script, input_data) VALUES (?, 'x = 1', ?)"
    connection.execute(insert, ("bad", "[1, 2]"))
    connection.execute(insert, ("good", "[]"))
    assert ended("bad") == "failed"
    assert ended("good") == "finished"
    (error,) = connection.execute("SELECT error FROM jobs WHERE job_id = 'bad'").fetchone()
    assert "no JSON array of objects" in error


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("frames", "input of task 0 is not in the store any more"),
        ("scripts", "script was deleted from the store"),
    ],
)
def test_what_vanished_fails_its_job_only(
    connection: sqlite3.Connection, start_worker: Any, ended: Callable[[str], str], table: str, words: str
) -> None:
    """A job whose input or text somebody has deleted fails with a sentence; the next job runs."""
    insert = "INSERT INTO submit_script (job_id, script, input_data) VALUES (?, 'x = 1', '[]')"
    connection.execute(insert, ("bad",))
    connection.execute(f"DELETE FROM {table}")
    connection.execute(insert, ("good",))
    start_worker()
    assert ended("bad") == "failed"
    assert ended("good") == "finished"
    (error,) = connection.execute("SELECT error FROM jobs WHERE job_id = 'bad'").fetchone()
    assert words in error


def test_a_page_without_a_body_fails_its_job_only(
    connection: sqlite3.Connection, start_worker: Any, ended: Callable[[str], str]
) -> None:
    """A page whose rows should stand in a table of their own, which is not there, is input that is lost."""
    insert = "INSERT INTO submit_script (job_id, script, input_data) VALUES (?, 'x = 1', '[]')"
    connection.execute(insert, ("bad",))
    connection.execute("UPDATE frames SET body = '', row_count = 2")
    connection.execute(insert, ("good",))
    start_worker()
    assert ended("bad") == "failed"
    assert ended("good") == "finished"
    (error,) = connection.execute("SELECT error FROM jobs WHERE job_id = 'bad'").fetchone()
    assert "input of task 0 is not in the store any more" in error


# ---------------------------------------------------------------------------------------------- published functions


def rxsql(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rxsql.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_status_of_a_job_that_sql_submitted(
    connection: sqlite3.Connection, store_path: Path, tmp_path: Path
) -> None:
    """It says who submitted it, and names no version of Python: it runs on any."""
    connection.execute("INSERT INTO submit_script (job_id, script) VALUES ('mine', 'x = 1')")
    shown = rxsql(tmp_path, "status", "mine", "--store", str(store_path)).stdout
    assert " by sql\n" in shown and "Python" not in shown


def test_publish_list_and_unpublish(store_path: Path, tmp_path: Path) -> None:
    """A function of a local module is published, replaced, listed and taken away from the command line."""
    (tmp_path / "scoring.py").write_text("def score(k):\n    return [k, k + 1]\n", encoding="utf-8")
    store = ("--store", str(store_path))
    first = rxsql(tmp_path, "publish", "scoring:score", *store)
    assert first.stdout.startswith("Published score in "), first.stderr
    assert rxsql(tmp_path, "publish", "scoring:score", *store).stdout.startswith("Replaced score in ")
    assert rxsql(tmp_path, "publish", "scoring:score", "--name", "v2", *store).returncode == 0
    listed = json.loads(rxsql(tmp_path, "published", "--json", *store).stdout)
    assert [(one["name"], one["function"]) for one in listed] == [
        ("score", "scoring:score"),
        ("v2", "scoring:score"),
    ]
    assert "scoring:score" in rxsql(tmp_path, "published", *store).stdout
    assert rxsql(tmp_path, "unpublish", "score", *store).stdout == "Unpublished score.\n"
    again = rxsql(tmp_path, "unpublish", "score", *store)
    assert (again.returncode, "Nothing is published as 'score'" in again.stderr) == (4, True)
    with sqlite3.connect(store_path) as connection:  # v2 still needs the function
        assert connection.execute("SELECT COUNT(*) FROM functions").fetchone() == (1,)
    rxsql(tmp_path, "unpublish", "v2", *store)
    with sqlite3.connect(store_path) as connection:
        assert connection.execute("SELECT COUNT(*) FROM functions").fetchone() == (0,)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("scoring", "module:function"),
        ("nowhere:f", "cannot be imported"),
        ("json:nothing", "has no 'nothing'"),
        ("json:__doc__", "is no function"),
    ],
)
def test_what_cannot_be_published_is_named(store_path: Path, tmp_path: Path, target: str, words: str) -> None:
    """A target that is no function is refused with a sentence."""
    refused = rxsql(tmp_path, "publish", target, "--store", str(store_path))
    assert refused.returncode == 1
    assert words in refused.stderr


def test_the_readmes_insert_does_what_it_says(
    connection: sqlite3.Connection, start_worker: Any, ended: Callable[[str], str]
) -> None:
    """The README's INSERT submits a script whose rows are the totals."""
    start_worker()
    (block,) = blocks("sqlite")
    insert, select = sqlfiles.statements(block)
    connection.execute(insert)
    assert ended("totals") == "finished"
    assert connection.execute(select).fetchall() == [(2.5, 25.0), (3.0, 30.0)]
