"""T-SQL on SQL Server: results of more than a megabyte, which come back by a table of their own columns."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import servers
from conftest import wait_until
from sqlscripts import every_type, same
from support import scalar, skip_on_babelfish
from tsqlserver import (
    SCRIPTS,
    Answer,
    check_script,
    connection,
    cursor,
    ended,
    exists,
    expected,
    is_babelfish,
    running_worker,
    server,
    submit,
)

from rxsql import RxInSqlServer, rx_execute_script, rx_get_job_results
from rxsql.client.publishing import publish
from rxsql.client.scripts import tables_of_runs
from rxsql.errors import PayloadError
from rxsql.models import Task
from rxsql.reports import Outcome, Report, RunOutcome, TaskEnd
from rxsql.pages import OUT, Page, Spool
from rxsql.scripts.writing import pages_of
from rxsql.settings import Settings
from rxsql.store import install, jobs, sqlfiles
from rxsql.store.engine import Store, connect
from rxsql.worker.poller import Poller
from rxsql.worker.uploads import Uploads

WITH_ROWS = [path for path in SCRIPTS if not expected(path.read_text(encoding="utf-8"), "error")]
NUMBERS = "import pandas; OutputDataSet = pandas.DataFrame({'n': range(12000), 'text': 'ü'})"
PAGES = "SELECT task, page, row_count, body FROM rx.frames WHERE job_key = ? AND direction = 'out' ORDER BY task, page"
BIGGEST = "pages._IN_MEMORY = 0"  # bytes of a result that does not go by a table


@pytest.fixture(scope="module")
def worker(server: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A worker for which each table is a large one."""
    path = tmp_path_factory.mktemp("large")
    (path / "sitecustomize.py").write_text(f"from rxsql import pages\n{BIGGEST}\n", encoding="utf-8")
    with running_worker(server, PYTHONPATH=str(path)):
        yield


def finished(server: Store, cursor: Any, script: str, job_id: str, **options: Any) -> str:
    """Run a script, and return the name of its result's table."""
    job_key = submit(cursor, script, job_id, **options)
    assert ended(server, job_id) == ("finished", None)
    return f"rx.output_{job_key}"


def pages(cursor: Any, table: str) -> list[tuple[int, int, int, bool]]:
    """Return task, number and rows of each page of a result, and whether its rows stand in a table."""
    found = cursor.execute(PAGES, int(table.rpartition("_")[2])).fetchall()
    return [(task, page, rows, body == "") for task, page, rows, body in found]


def fetched(cursor: Any, job_id: str) -> list[tuple[Any, ...]]:
    (rows,) = Answer(cursor, f"EXEC rx.fetch_result N'{job_id}'").rows
    return rows


# ------------------------------------------------------------------------------------------- the same as by pages


@pytest.mark.parametrize("path", WITH_ROWS, ids=lambda path: path.stem)
def test_a_script_does_the_same_with_a_table(
    path: Path, worker: None, cursor: Any, is_babelfish: bool
) -> None:
    """What comes of a script is the same to the last type where its result comes by a table."""
    check_script(path, cursor, is_babelfish)


def test_rows_come_back_by_the_table(server: Store, worker: None, cursor: Any) -> None:
    """A result of several pages stands in one table, in its columns' types, and comes back in its order."""
    table = finished(server, cursor, NUMBERS, "numbers")
    assert pages(cursor, table) == [(0, 0, 10_000, True), (0, 1, 2_000, True)]
    columns = cursor.execute(
        "SELECT columns.name, types.name, columns.max_length FROM sys.columns AS columns "
        "INNER JOIN sys.types AS types ON columns.user_type_id = types.user_type_id "
        "WHERE columns.object_id = OBJECT_ID(?) AND columns.name LIKE 'c%' ORDER BY columns.column_id",
        table,
    ).fetchall()
    assert [tuple(column) for column in columns] == [("c0", "bigint", 8), ("c1", "nvarchar", -1)]
    assert fetched(cursor, "numbers") == [(n, "ü") for n in range(12_000)]
    cursor.execute("EXEC rx.cleanup_job N'numbers'")
    assert not exists(cursor, table)


EVERY_TYPE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from sqlscripts import every_type
OutputDataSet = every_type()
"""


def test_every_type_comes_back(
    server: Store, mssql_databases: Callable[[str], str], worker: None, cursor: Any, is_babelfish: bool
) -> None:
    """Each type is the same as it was by pages, to T-SQL and to Python, through both drivers."""
    here = rx_execute_script("OutputDataSet = InputDataSet", every_type(), compute_context="local").output
    table = finished(server, cursor, EVERY_TYPE, "every-type")
    assert pages(cursor, table) == [(0, 0, 3, True)]
    by_table = Answer(cursor, "EXEC rx.fetch_result N'every-type'")
    (page,) = pages_of(every_type(), OUT)
    cursor.execute(
        "UPDATE rx.frames SET body = ? WHERE job_key = ? AND direction = 'out'",
        *(page.body, int(table.rpartition("_")[2])),
    )
    by_pages = Answer(cursor, "EXEC rx.fetch_result N'every-type'")
    assert by_table.columns == by_pages.columns
    assert by_table.rows == by_pages.rows
    cursor.execute(
        "UPDATE rx.frames SET body = N'' WHERE job_key = ? AND direction = 'out'",
        int(table.rpartition("_")[2]),
    )
    if is_babelfish:  # which has six digits of a second
        here = here.drop(columns=["moment", "zoned", "clock"])
    for store in (server, connect(mssql_databases(servers.OTHER_DRIVER))):
        job = jobs.get_job(store, "every-type")
        assert same(tables_of_runs(store, job)[0][here.columns], here)
        if store is not server:
            store.close()
    cursor.execute("EXEC rx.cleanup_job N'every-type'")


def test_python_gets_what_sql_submitted(
    server: Store, worker: None, cursor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rx_get_job_results of a job that SQL submitted reads the table, page by page."""
    finished(server, cursor, NUMBERS, "for-python")
    monkeypatch.setenv("RXSQL_STORE", server.url)
    output = rx_get_job_results("for-python").output
    assert output["n"].tolist() == list(range(12_000))


def test_a_published_functions_rows_come_by_a_table(
    server: Store, worker: None, cursor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a published function returns goes the same way."""
    (tmp_path / "published_large.py").write_text(
        "def squares(count):\n    return [{'n': n, 'square': n * n} for n in range(count)]\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    publish(server, "published_large:squares")
    job_id = Answer(
        cursor,
        "DECLARE @job_id NVARCHAR(128); "
        """EXEC rx.submit_function N'squares', N'{"count": 12000}', @job_id = @job_id OUTPUT; SELECT @job_id""",
    ).rows[0][0][0]
    assert ended(server, job_id) == ("finished", None)
    job_key = scalar(server, f"SELECT job_key FROM rx.jobs WHERE job_id = '{job_id}'")
    assert exists(cursor, f"rx.output_{job_key}")
    assert fetched(cursor, job_id) == [(n, n * n) for n in range(12_000)]


# ------------------------------------------------------------------------------------------------------- partitions


def test_partitions_share_a_table(server: Store, worker: None, cursor: Any) -> None:
    """The rows of all partitions stand in one table, and come back partition by partition."""
    script = (
        "OutputDataSet = InputDataSet.loc[InputDataSet.index.repeat(6000)]; OutputDataSet['i'] = range(6000)"
    )
    table = finished(
        server, cursor, script, "shared", query="SELECT g FROM (VALUES (1), (2)) AS x(g)", partition_by="g"
    )
    assert pages(cursor, table) == [(0, 0, 6_000, True), (1, 0, 6_000, True)]
    assert fetched(cursor, "shared") == [(g, i) for g in (1, 2) for i in range(6_000)]


MIXED = """
import decimal
first = InputDataSet["g"][0] == 1
OutputDataSet = pandas.DataFrame({
    "digits": [decimal.Decimal("1.5") if first else decimal.Decimal("22.25")] * 2,
    "whole": [1, 2] if first else ["one", None],
    "same": [1.5, None],
})
"""


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_partitions_of_other_types_keep_their_pages(
    order: str, server: Store, worker: None, cursor: Any
) -> None:
    """A partition whose columns have other types stays pages; all rows come back in types that hold both."""
    rank = "g" if order == "ASC" else "3 - g"
    table = finished(
        server,
        cursor,
        f"import pandas{MIXED}",
        f"mixed-{order}",
        query=f"SELECT g, {rank} AS r FROM (VALUES (1), (2)) AS x(g)",
        partition_by="r",
    )
    assert sorted(is_typed for *_, is_typed in pages(cursor, table)) == [False, True]
    answer = Answer(cursor, f"EXEC rx.fetch_result N'mixed-{order}'")
    assert answer.columns == ["digits Decimal, whole str, same float"]
    ones = [("1.50", "1", 1.5), ("1.50", "2", None)]
    words = [("22.25", "one", 1.5), ("22.25", None, None)]
    found = [(str(digits), whole, last) for digits, whole, last in answer.rows[0]]
    assert found == (ones + words if order == "ASC" else words + ones)


@pytest.mark.parametrize(
    ("made", "columns"),
    [
        ("pandas.DataFrame({f'c{n}': [n] for n in range(301)})", 301),
        ("pandas.DataFrame(index=range(5))", 0),
    ],
    ids=["more columns than a row holds", "no columns"],
)
def test_what_fits_into_no_table_stays_pages(
    made: str, columns: int, server: Store, worker: None, cursor: Any, request: Any
) -> None:
    """A result with more columns than a table may have, or none, comes back all the same."""
    job_id = request.node.callspec.id.replace(" ", "-")
    table = finished(server, cursor, f"import pandas; OutputDataSet = {made}", job_id)
    assert not exists(cursor, table)
    assert [is_typed for *_, is_typed in pages(cursor, table)] == [False]
    if columns:
        skip_on_babelfish(server, "reads no more than 100 columns of JSON")
    assert Answer(cursor, f"EXEC rx.fetch_result N'{job_id}'").rows == (
        [[tuple(range(columns))]] if columns else []
    )


def test_what_python_submits_stays_pages(server: Store, worker: None, cursor: Any) -> None:
    """Nobody would read a table of a job that Python submitted: it is spared the way through one."""
    where = RxInSqlServer(server.url, wait=False, auto_cleanup=False)
    job = rx_execute_script(NUMBERS, compute_context=where)
    assert ended(server, job.job_id) == ("finished", None)
    key = scalar(server, f"SELECT job_key FROM rx.jobs WHERE job_id = '{job.job_id}'")
    assert [is_typed for *_, is_typed in pages(cursor, f"rx.output_{key}")] == [False, False]
    assert len(rx_get_job_results(job).output) == 12_000


# --------------------------------------------------------------------------------------------- removal, bad tables


def test_retention_removes_the_table(server: Store, worker: None, cursor: Any) -> None:
    """A result that nobody collected goes with its table."""
    table = finished(server, cursor, NUMBERS, "uncollected")
    jobs.purge_expired(server, retention_seconds=0, tombstone_seconds=3600)
    assert not exists(cursor, table)


@pytest.mark.parametrize(
    ("change", "for_sql", "for_python"),
    [
        ("DROP TABLE {table}", r"the table {table} is gone\. \(51004\)", "is not in the store any more"),
        ("DELETE FROM {table} WHERE place = 7", None, "is not in the store any more"),
        ("ALTER TABLE {table} DROP COLUMN c0", "c0", "cannot be read"),
    ],
    ids=["dropped", "a row deleted", "a column dropped"],
)
def test_a_table_changed_by_hand(
    change: str,
    for_sql: str | None,
    for_python: str,
    server: Store,
    worker: None,
    cursor: Any,
    request: Any,
) -> None:
    """Who fetches a result whose table vanished, or was changed, gets one error that says so."""
    job_id = request.node.callspec.id.replace(" ", "-")
    table = finished(server, cursor, NUMBERS, job_id)
    cursor.execute(change.format(table=table))
    if for_sql is None:
        assert len(fetched(cursor, job_id)) == 11_999
    else:
        with pytest.raises(Exception, match=for_sql.format(table=table)):
            fetched(cursor, job_id)
    with pytest.raises(PayloadError, match=for_python):
        tables_of_runs(server, jobs.get_job(server, job_id))
    cursor.execute("EXEC rx.cleanup_job ?", job_id)
    assert not exists(cursor, table)
