"""T-SQL on SQL Server: inputs of more than one page, which travel by a table of their own columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
from conftest import wait_until
from sqlscripts import every_type as every_dtype
from sqlscripts import same
from support import scalar
from tsqlserver import (
    REMOVALS,
    SCRIPTS,
    Answer,
    check_script,
    connection,
    cursor,
    ended,
    exists,
    expected,
    is_babelfish,
    server,
    worker,
)
from tsqlserver import submit as submit_script

from rxsql import RxInSqlServer, rx_execute_script
from rxsql.pages import Page
from rxsql.store import install, jobs, scripts, sqlfiles
from rxsql.store.engine import Store, connect

ROWS = 12_000  # a page has 10,000
WITH_INPUT = [
    path
    for path in SCRIPTS
    if "@input_data_1 = N'" in (text := path.read_text(encoding="utf-8")) and not expected(text, "error")
]
ENDLESS = "import time; time.sleep(600)"


@pytest.fixture(scope="module")
def many(server: Store) -> str:
    """A table with the numbers from 0, n, and their rest by three, g."""
    numbers = "[" + ",".join(map(str, range(ROWS))) + "]"
    with server.write() as connection:
        connection.exec_driver_sql("CREATE TABLE dbo.numbers (n INT NOT NULL, g INT NOT NULL)")
        connection.exec_driver_sql(
            "INSERT INTO dbo.numbers (n, g) SELECT CONVERT(INT, value), CONVERT(INT, value) % 3 FROM OPENJSON(?)",
            (numbers,),
        )
    return "SELECT n, g FROM dbo.numbers"


def submit(cursor: Any, query: str, job_id: str, script: str = "OutputDataSet = InputDataSet") -> str:
    """Submit a script, and return the name of its input's table."""
    return f"rx.input_{submit_script(cursor, script, job_id, query=query)}"


@pytest.fixture(scope="module")
def no_pages(server: Store, worker: None) -> Iterator[None]:
    """Every input that has a row travels by a table, as if a page had room for none."""
    text = (sqlfiles.sql_root() / "mssql" / "procedures" / "stage_input.sql").read_text(encoding="utf-8")
    parts = [part for part in sqlfiles.statements(text) if "rx.stage_input" in part]
    limit = "FROM #rx_numbered) > 10000 "

    def make(changed: str) -> None:
        with server.read() as connection:
            for part in parts:
                connection.exec_driver_sql(part.replace(limit, f"FROM #rx_numbered) > {changed} "))

    assert "".join(parts).count(limit) == 1
    make("0")
    yield
    make("10000")


@pytest.mark.parametrize("path", WITH_INPUT, ids=lambda path: path.stem)
def test_a_script_does_the_same_with_a_table(
    path: Path, no_pages: None, cursor: Any, is_babelfish: bool
) -> None:
    """What a script returns is the same to the last type where its input comes by a table."""
    check_script(path, cursor, is_babelfish)
    assert exists(cursor, submit(cursor, "SELECT 1 AS a", f"witness-{path.stem}", ENDLESS))
    cursor.execute(f"EXEC rx.cleanup_job N'witness-{path.stem}'")


EVERY_TYPE = (
    "CREATE TABLE dbo.every_type (a_bit BIT, tiny TINYINT, small SMALLINT, whole INT, big BIGINT, about REAL, "
    "far FLOAT, fine DECIMAL(38, 10), cash MONEY, change SMALLMONEY, day DATE, clock TIME(6), old DATETIME, "
    "older SMALLDATETIME, moment DATETIME2(6), zoned DATETIMEOFFSET(6), id UNIQUEIDENTIFIER, words NVARCHAR(20), "
    "padded CHAR(4), raw VARBINARY(10), tree XML)",
    "INSERT INTO dbo.every_type (a_bit) VALUES (NULL)",
    "INSERT INTO dbo.every_type VALUES (1, 255, -32768, -2147483648, 9223372036854775807, 0.1, "
    "-1.7976931348623157e308, -0.000001, -922337203685477.5808, 214748.3647, '0001-01-01', '23:59:59.123456', "
    "'1999-12-31 23:59:59.997', '2020-02-29 12:34:00', '2020-01-02 03:04:05.123456', "
    "'2020-01-02 03:04:05.123456 +05:30', '01234567-89AB-CDEF-0123-456789ABCDEF', N'ü 😀 \"\\', 'ab', 0x00FF, "
    "'<a>1</a>')",
)


@pytest.fixture(scope="module")
def every_type(server: Store, many: str) -> str:
    """A query for many rows with a column a type, in every other row NULL."""
    with server.write() as connection:
        for statement in EVERY_TYPE:
            connection.exec_driver_sql(statement)
    return f"SELECT * FROM dbo.every_type CROSS JOIN dbo.numbers WHERE n < {ROWS // 2}"


SEEN = [
    "True",
    "255.0",
    "-32768.0",
    "-2147483648.0",
    "9223372036854775807",
    "0.10000000149011612",
    "-1.7976931348623157e+308",
    "Decimal('-0.0000010000')",
    "Decimal('-922337203685477.5808')",
    "Decimal('214748.3647')",
    "datetime.date(1, 1, 1)",
    "datetime.time(23, 59, 59, 123456)",
    "Timestamp('1999-12-31 23:59:59.997000')",
    "Timestamp('2020-02-29 12:34:00')",
    "Timestamp('2020-01-02 03:04:05.123456')",
    "Timestamp('2020-01-02 03:04:05.123456+0530', tz='UTC+05:30')",
    "'01234567-89AB-CDEF-0123-456789ABCDEF'",
    "'ü 😀 \"\\\\'",
    "'ab  '",
    "b'\\x00\\xff'",
    "'<a>1</a>'",
]
LOOK = """
rows = list(InputDataSet.drop(columns=["n", "g"]).itertuples(index=False, name=None))
seen = {repr(row): row for row in rows if row[0] is not None}
for row in seen.values():
    for value in row:
        print(repr(getattr(value, "item", lambda: value)()).encode().hex())
nothing = {str(row) for row in rows if row[0] is None}
print(len(nothing), InputDataSet.isna().sum().eq(len(InputDataSet) // 2).sum())
print(len(rows))
"""


def test_every_type_goes_in(every_type: str, worker: None, cursor: Any) -> None:
    """Each type's values, its NULLs too, are in the script without loss, in the type that is documented."""
    answer = Answer(
        cursor,
        f"EXEC rx.sp_execute_external_script @language = N'Python', @script = N'{LOOK}', "
        f"@input_data_1 = N'{every_type}'",
    )
    assert [bytes.fromhex(line).decode() for line in answer.messages[:-2]] == SEEN
    assert answer.messages[-2:] == ["1 21", str(ROWS)]


def input_pages(store: Store, job_key: int) -> list[Page]:
    """Return the pages of a task's input."""
    pages = scripts.task_pages(store, job_key, [0])[0]
    assert isinstance(pages, scripts.InputPages)
    while not pages.step():
        assert pages.spool
    return list(pages.spool)


def test_both_drivers_read_the_same(
    every_type: str, server: Store, mssql_databases: Callable[[str], str], cursor: Any
) -> None:
    """Through mssql-python, a worker gets the same pages of a table as through pyodbc."""
    other = connect(mssql_databases(servers.OTHER_DRIVER))
    table = submit(cursor, every_type, "both-drivers", ENDLESS)
    job_key = int(table.rpartition("_")[2])
    pages = [input_pages(store, job_key) for store in (server, other)]
    other.close()
    assert [page.row_count for page in pages[0]] == [10_000, ROWS - 10_000]
    assert pages[0] == pages[1]
    cursor.execute("EXEC rx.cleanup_job N'both-drivers'")


def test_many_rows_keep_their_order(many: str, worker: None, cursor: Any) -> None:
    """Rows of several pages go in by the order asked for, and come back in the order that the script leaves."""
    answer = Answer(
        cursor,
        "EXEC rx.sp_execute_external_script @language = N'Python', @script = N'OutputDataSet = InputDataSet', "
        f"@input_data_1 = N'{many}', @input_data_1_order_by_columns = N'n DESC'",
    )
    assert answer.rows[0] == [(n, n % 3) for n in reversed(range(ROWS))]


def test_each_partition_has_its_rows(many: str, worker: None, cursor: Any) -> None:
    """A run has the rows of its partition from the common table, in their order, and no others."""
    answer = Answer(
        cursor,
        "EXEC rx.sp_execute_external_script @language = N'Python', @script = N'"
        'OutputDataSet = InputDataSet.agg([len, "min", "max"]).T.assign(first=InputDataSet.n[0]).head(1)\', '
        f"@input_data_1 = N'{many}', @input_data_1_order_by_columns = N'n DESC', "
        "@input_data_1_partition_by_columns = N'g'",
    )
    third = ROWS // 3
    assert answer.rows[0] == [(third, g, ROWS - 3 + g, ROWS - 3 + g) for g in range(3)]


def test_values_that_fill_pages_go_by_a_table(server: Store, worker: None, cursor: Any) -> None:
    """A few rows that are more than 4 MB stand in a table, in as many pages as that takes, and come in whole."""
    query = "SELECT n, REPLICATE(CAST(N'ü' AS NVARCHAR(MAX)), 1000000) AS wide FROM (VALUES (1), (2), (3), (4)) AS g(n)"
    table = submit(
        cursor, query, "wide", "print(InputDataSet.wide.str.len().tolist(), set(InputDataSet.wide[3]))"
    )
    pages = cursor.execute(
        "SELECT page, row_count, body FROM rx.frames WHERE job_key = ? ORDER BY page",
        table.rpartition("_")[2],
    ).fetchall()
    assert len(pages) > 1
    assert sum(rows for _, rows, _ in pages) == 4
    assert {body for *_, body in pages} == {""}
    assert ended(server, "wide") == ("finished", None)
    told = scalar(server, "SELECT text FROM rx.console WHERE job_id = 'wide'")
    assert told == "[1000000, 1000000, 1000000, 1000000] {'ü'}"


def test_the_table_goes_with_its_transaction(many: str, cursor: Any) -> None:
    """A submission that is rolled back leaves neither job nor table; one that is committed leaves both; a refused one nothing."""
    cursor.execute("BEGIN TRANSACTION")
    table = submit(cursor, many, "undone", ENDLESS)
    assert exists(cursor, table)
    cursor.execute("ROLLBACK")
    assert not exists(cursor, table)
    assert cursor.execute("SELECT COUNT(*) FROM rx.jobs WHERE job_id = 'undone'").fetchval() == 0
    cursor.execute("BEGIN TRANSACTION")
    table = submit(cursor, many, "done", ENDLESS)
    cursor.execute("COMMIT")
    assert exists(cursor, table)
    count = "SELECT COUNT(*) FROM sys.tables WHERE name LIKE 'input[_]%'"
    tables = cursor.execute(count).fetchval()
    with pytest.raises(Exception, match=r"51006|is there already"):
        submit(cursor, many, "done", ENDLESS)
    cursor.execute("IF @@TRANCOUNT > 0 ROLLBACK")
    assert cursor.execute(count).fetchval() == tables
    cursor.execute("EXEC rx.cleanup_job N'done'")


def _expire(server: Store, job_id: str, _: Any) -> None:
    jobs.cancel(server, job_id)
    jobs.purge_expired(server, retention_seconds=0, tombstone_seconds=3600)


@pytest.mark.parametrize(
    "remove",
    [*REMOVALS.values(), _expire],
    ids=[*REMOVALS, "expire"],
)
def test_what_removes_a_job_removes_its_table(
    remove: Callable[[Store, str, Any], Any], server: Store, many: str, cursor: Any, request: Any
) -> None:
    """Whoever cancels or purges a job drops its table, and no other job's."""
    job_id = request.node.callspec.id
    table = submit(cursor, many, job_id, ENDLESS)
    other = submit(cursor, many, f"beside-{job_id}", ENDLESS)
    assert exists(cursor, table)
    remove(server, job_id, cursor)
    assert not exists(cursor, table)
    assert exists(cursor, other)
    cursor.execute("EXEC rx.cleanup_job ?", f"beside-{job_id}")
    assert not exists(cursor, other)


def test_a_removal_that_is_rolled_back_removes_nothing(many: str, cursor: Any) -> None:
    """The table is dropped in the transaction that removes the pages: both are there, or neither is."""
    table = submit(cursor, many, "kept", ENDLESS)
    cursor.execute("BEGIN TRANSACTION")
    cursor.execute("DELETE FROM rx.frames WHERE job_key = ?", table.rpartition("_")[2])
    assert not exists(cursor, table)
    cursor.execute("ROLLBACK")
    assert cursor.execute(f"SELECT COUNT(*) FROM {table}").fetchval() == ROWS
    cursor.execute("EXEC rx.cleanup_job N'kept'")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DROP TABLE {table}", "is not in the store any more"),
        ("DELETE FROM {table} WHERE place = 11000", "is not in the store any more"),
        ("ALTER TABLE {table} DROP COLUMN c0", "cannot be read"),
    ],
    ids=["dropped", "a row deleted", "a column dropped"],
)
def test_a_table_changed_by_hand_fails_its_job_only(
    change: str, words: str, server: Store, many: str, worker: None, cursor: Any, request: Any
) -> None:
    """A job whose table vanished, or was changed, fails with a sentence; the worker goes on with the next."""
    job_id = request.node.callspec.id.replace(" ", "-")
    cursor.execute("BEGIN TRANSACTION")
    table = submit(cursor, many, job_id)
    cursor.execute(change.format(table=table))
    cursor.execute("COMMIT")
    status, error = ended(server, job_id)
    assert status == "failed"
    assert words in error
    submit(cursor, many, f"after-{job_id}")
    assert ended(server, f"after-{job_id}") == ("finished", None)
    for name in (job_id, f"after-{job_id}"):
        cursor.execute("EXEC rx.cleanup_job ?", name)
    assert not exists(cursor, table)


def test_a_small_result_is_a_page(server: Store, worker: None, cursor: Any) -> None:
    """A result of less than a megabyte stands in rx.frames, and needs no table."""
    key = submit_script(
        cursor, "import pandas; OutputDataSet = pandas.DataFrame({'a': range(50000)})", "small"
    )
    assert ended(server, "small") == ("finished", None)
    assert not exists(cursor, f"rx.output_{key}")
    assert Answer(cursor, "EXEC rx.fetch_result N'small'").rows == [[(n,) for n in range(50_000)]]
    cursor.execute("EXEC rx.cleanup_job N'small'")


def test_uninstalling_removes_the_tables(mssql_server: str, is_babelfish: bool) -> None:
    """uninstall.sql leaves no table of an input, and none of a result."""
    script = (sqlfiles.sql_root() / "mssql" / "uninstall.sql").read_text(encoding="utf-8")
    with servers.database(mssql_server, "mssql") as name:
        store = connect(name)
        install.install(store)
        with store.read() as connection:
            connection.exec_driver_sql('EXEC rx.open_input 7, N\'[["a", "int", 4, 0]]\'')
            assert scalar(store, "SELECT COUNT(*) FROM rx.input_7") == 0
            connection.exec_driver_sql("EXEC rx.make_table 7, 'out', N'[[\"a\", \"int\", 4, 0]]'")
            assert scalar(store, "SELECT COUNT(*) FROM rx.output_7") == 0
            for statement in sqlfiles.statements(script):
                if not (
                    is_babelfish and "DROP ROLE" in statement
                ):  # which takes no role that has rights there
                    connection.exec_driver_sql(statement)
        for names in ("input%", "output%"):
            assert scalar(store, f"SELECT COUNT(*) FROM sys.tables WHERE name LIKE '{names}'") == 0
        assert scalar(store, "SELECT SCHEMA_ID('rx')") is None
        store.close()


def test_prints_arrive_while_a_script_runs(server: Store, worker: None, cursor: Any, tmp_path: Path) -> None:
    """What a waiting call does at each look shows the lines since the last one, and the job still running."""
    script = "import os, time\nfor n in range(2):\n    print('line', n)\n"
    script += f"    while not os.path.exists({str(tmp_path)!r} + '/%d' % n):\n        time.sleep(0.01)\n"
    Answer(
        cursor,
        "DECLARE @job_id NVARCHAR(128) = N'prints'; EXEC rx.submit_script @script = ?, @job_id = @job_id OUTPUT",
        script,
    )
    after = 0

    def look() -> tuple[list[str], str]:
        nonlocal after
        answer = Answer(
            cursor,
            "DECLARE @after BIGINT = ?, @status VARCHAR(16); "
            "EXEC rx.look_at_job N'prints', @after OUTPUT, @status OUTPUT; SELECT @after, @status",
            after,
        )
        ((after, status),) = answer.rows[0]
        return answer.messages, status

    for n in range(2):
        assert wait_until(lambda: (found := look())[0] and found) == ([f"line {n}"], "running")
        (tmp_path / str(n)).touch()
    assert ended(server, "prints") == ("finished", None)
    assert look() == ([], "finished")


def test_tables_from_python(server: Store, worker: None) -> None:
    """rx_execute_script sends a table of every type to this server's worker, and gets it back as it was."""
    table = every_dtype()
    result = rx_execute_script(
        "OutputDataSet, count = InputDataSet, len(InputDataSet)",
        table,
        compute_context=RxInSqlServer(server.url),
        output_params=["count"],
    )
    assert same(result.output, table)
    assert result.parameters == {"count": 3}
