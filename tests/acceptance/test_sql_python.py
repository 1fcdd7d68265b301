"""`rx_execute_script`: a script with a table in and a table out, from Python."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import stop_workers
from sqlscripts import every_type, same

from rxsql import RxInSqlServer, rx_execute_script, rx_get_job_results, rx_wait_for_job
from rxsql.errors import ArgumentsError, JobFailedError, LimitError, NotSupportedError, ScriptError
from rxsql.store.engine import Store


@pytest.fixture(scope="module")
def shared_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store that all tests here share, so that they share its worker."""
    path = tmp_path_factory.mktemp("scripts") / "jobs.db"
    yield path
    stop_workers(path)


@pytest.fixture
def where(shared_path: Path) -> RxInSqlServer:
    return RxInSqlServer(str(shared_path), num_tasks=2)


def run(where: Any, script: str, data: Any = None, params: Any = None, **options: Any) -> Any:
    return rx_execute_script(script, data, params, where, **options)


def test_a_script_has_a_table_parameters_and_a_console(where: RxInSqlServer) -> None:
    """The script sees its input and parameters as variables; table, OUTPUT parameters and prints come back."""
    script = "print('hello')\nOutputDataSet = InputDataSet.assign(y=InputDataSet.x * k)\ntotal = int(OutputDataSet.y.sum())"
    result = run(where, script, {"x": [1, 2, 3]}, {"k": 3}, output_params=["total"])
    assert result.output.to_dict("list") == {"x": [1, 2, 3], "y": [3, 6, 9]}
    assert result.parameters == {"total": 18}
    assert result.console == "hello\n"


@pytest.mark.parametrize(
    "value",
    [
        *(True, 7, 2**62, 0.1, decimal.Decimal("1.50"), "ü😀", b"\x00\xff", None, dt.date(2020, 2, 29)),
        *(
            dt.time(3, 4, 5, 6),
            dt.datetime(2020, 1, 2, 3, 4, 5, 123456),
            pd.Timestamp("2020-01-02 03:04:05.1234567"),
        ),
        *(dt.datetime(9999, 12, 31, 23, 59, 59), pd.Timestamp("2020-01-02 03:04:05+05:30")),
    ],
    ids=repr,
)
def test_a_parameter_is_the_value_that_was_given(value: Any) -> None:
    """A parameter of each type is in the script what it was outside, and comes back as that."""
    script = "same = given == GIVEN and isinstance(given, type(GIVEN))\nback = given"
    names = "import datetime, decimal\nfrom pandas import Timestamp\nDecimal = decimal.Decimal\n"
    result = run(
        "local",
        f"{names}GIVEN = {value!r}\n{script}",
        params={"given": value},
        output_params=["same", "back"],
    )
    assert result.parameters == {"same": True, "back": value}


@pytest.mark.parametrize("place", ["store", "here"])
def test_every_type_comes_back_as_it_went(where: RxInSqlServer, place: str) -> None:
    """Values of every type, NULLs, emoji and the seventh digit of a second pass a script without loss."""
    table = every_type()
    result = run(where if place == "store" else "local", "OutputDataSet = InputDataSet", table)
    assert same(result.output, table)


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(),
        pd.DataFrame({"x": []}),
        pd.DataFrame([[1, 2, 3]], columns=["a", "a", "weird \"name' ]ü😀"]),
        pd.DataFrame([[1, 2]], columns=["", "1"]),
        pd.DataFrame({"only": [None, None]}),
    ],
    ids=["no columns", "no rows", "duplicate and odd names", "empty name", "only NULL"],
)
def test_odd_tables_come_back_as_they_went(where: RxInSqlServer, table: pd.DataFrame) -> None:
    """Tables without columns or rows, with duplicate, empty and odd names of columns pass a script."""
    result = run(where, "OutputDataSet = InputDataSet", table)
    assert list(result.output.columns) == list(table.columns)
    assert len(result.output) == len(table)
    assert same(result.output, table)


def test_infinity_and_nan_are_null(where: RxInSqlServer) -> None:
    """What SQL has no value for comes back as NULL."""
    script = "OutputDataSet = pandas.DataFrame({'x': [float('inf'), float('nan'), 1.0]})"
    output = run(where, f"import pandas\n{script}").output
    assert output["x"].isna().tolist() == [True, True, False]


def test_a_partition_has_a_run_of_its_own(where: RxInSqlServer) -> None:
    """The script runs once a partition; the tables of all runs are one."""
    table = {"g": ["b", "a", "b", None], "x": [1, 2, 3, 4]}
    script = "import pandas\nOutputDataSet = pandas.DataFrame({'g': InputDataSet.g.head(1), 'n': [len(InputDataSet)]})"
    output = run(where, script, table, partition_by="g").output
    assert sorted(zip(output["g"].fillna("none"), output["n"], strict=True)) == [
        ("a", 1),
        ("b", 2),
        ("none", 1),
    ]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("x = (", "does not parse: SyntaxError: '(' was never closed in line 1"),
        (" x = 1", "Its first line must not be indented"),
        ("def f():\n    raise KeyError('why')\nf()", "KeyError: 'why'"),
        ("OutputDataSet = 5", "OutputDataSet must be a pandas DataFrame, and is of the type int"),
        (
            "import pandas\nOutputDataSet = pandas.DataFrame({'x': [1, 'a']})",
            "values of different types (int and str)",
        ),
        (
            "import pandas\nOutputDataSet = pandas.DataFrame({'x': [object()]})",
            "type object, which has no SQL type",
        ),
        ("pass", "did not assign its OUTPUT parameter 'total'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_what_goes_wrong_is_one_clear_error(where: RxInSqlServer, script: str, words: str) -> None:
    """Each mistake fails its job with a sentence that names it, and the worker goes on."""
    with pytest.raises(JobFailedError) as raised:
        run(where, script, output_params=["total"])
    assert words in str(raised.value)
    assert run(where, "total = 1", output_params=["total"]).parameters == {"total": 1}


def test_a_traceback_shows_the_script_and_no_line_of_rxsql(where: RxInSqlServer) -> None:
    """The traceback has the script's lines with their text, and nothing else."""
    with pytest.raises(JobFailedError) as raised:
        run(where, "def f():\n    return 1 / 0\nf()")
    trace = raised.value.remote_traceback
    assert 'File "<script>", line 2, in f' in trace
    assert "return 1 / 0" in trace
    assert "rxsql" not in trace


def test_a_job_that_is_not_waited_for_gives_its_result_later(shared_path: Path) -> None:
    """In a context with wait=False there is a job at once, whose results are the script's."""
    where = RxInSqlServer(str(shared_path), wait=False)
    job = run(where, "OutputDataSet = InputDataSet", {"x": [1]})
    rx_wait_for_job(job)
    result = rx_get_job_results(job)
    assert result.output.to_dict("list") == {"x": [1]}


def test_the_way_back_has_no_password(where: RxInSqlServer, shared_path: Path) -> None:
    """A script gets the store's name as its loopback connection."""
    script = "import rxsql\nname = rxsql.rx_get_sql_loopback_connection_string()"
    assert run(where, script, output_params=["name"]).parameters["name"] == f"sqlite:///{shared_path}"


def test_there_is_no_way_back_outside_a_script() -> None:
    """The loopback connection is for scripts; elsewhere the error says where it comes from."""
    import rxsql

    with pytest.raises(ScriptError, match="RXSQL_LOOPBACK"):
        rxsql.rx_get_sql_loopback_connection_string()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"params": {"not a name": 1}}, ArgumentsError),
        ({"partition_by": "nowhere"}, ArgumentsError),
        ({"compute_context": "localpar"}, NotSupportedError),
        ({"input_data": {"x": [object()]}}, ScriptError),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    """Nothing is stored where the arguments cannot be used."""
    with pytest.raises(error):
        rx_execute_script("pass", **{"input_data": {"x": [1]}, "compute_context": "local", **options})


def test_a_large_table_passes_in_pages(where: RxInSqlServer, shared_path: Path) -> None:
    """A table of many rows travels in pages, in order, and is the same afterwards."""
    from rxsql.store.engine import open_store

    table = pd.DataFrame({"n": range(25_000), "text": [f"row {n}" for n in range(25_000)]})
    result = run(RxInSqlServer(str(shared_path), auto_cleanup=False), "OutputDataSet = InputDataSet", table)
    assert same(result.output, table)
    with open_store(str(shared_path)).read() as connection:
        pages = connection.exec_driver_sql(
            "SELECT direction, COUNT(*), SUM(row_count) FROM frames "
            "WHERE job_key = (SELECT MAX(job_key) FROM jobs) GROUP BY direction ORDER BY direction"
        ).all()
    assert [tuple(row) for row in pages] == [("in", 3, 25_000), ("out", 3, 25_000)]


def _peak_kib(pid: int) -> int:
    """The most memory that a process has had at once."""
    (found,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found)


@pytest.mark.parametrize("any_url", ["sqlite", "postgresql"], indirect=True)
def test_a_worker_has_no_table_in_memory(any_url: str, store: Store, start_worker_on: Any) -> None:
    """A table of four times the rows takes no more of the supervisor's memory: it hands on page by page."""
    supervisor = start_worker_on(any_url, slots=1, preload="pandas").pid
    where = RxInSqlServer(any_url)
    text = "t" * 300
    peaks = []
    for count in (15_000, 60_000):  # 13 and 54 MB
        table = pd.DataFrame({f"column_{n}": [text] * count for n in range(3)})
        result = run(where, "OutputDataSet = InputDataSet\nn = len(InputDataSet)", table, output_params=["n"])
        assert (len(result.output), result.parameters) == (count, {"n": count})
        peaks.append(_peak_kib(supervisor))
    assert peaks[1] - peaks[0] < 16 * 1024


def test_a_table_beyond_the_limit_is_refused(where: RxInSqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input of more than RXSQL_PAYLOAD_MB is an error that names the limit, before anything is stored."""
    monkeypatch.setenv("RXSQL_PAYLOAD_MB", "1")
    with pytest.raises(LimitError, match=r"The input of run 0 takes 1\.\d MB.*RXSQL_PAYLOAD_MB of 1 MB"):
        run(where, "pass", {"x": ["t" * 1_000] * 1_100})


@pytest.mark.parametrize("any_url", ["postgresql"], indirect=True)
def test_a_table_for_which_there_is_no_room_fails_its_job_only(
    any_url: str, store: Store, start_worker_on: Any
) -> None:
    """Where a worker's temporary folder is full, the job fails with the reason; the next one runs."""
    worker = start_worker_on(any_url, slots=1)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (2**20, 2**20))
    where = RxInSqlServer(any_url)
    with pytest.raises(JobFailedError, match="The input cannot be handed on through .*File too large"):
        run(where, "pass", {"x": ["t" * 1_000] * 2_200})
    assert run(where, "n = len(InputDataSet)", {"x": [1]}, output_params=["n"]).parameters == {"n": 1}


def test_a_signed_script_runs_where_signatures_are_required_and_others_do_not(
    store_path: Path, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key, a script's text and parameters are signed; what SQL submits, or somebody changed, is refused."""
    import sqlite3

    keys = "k1:" + "ab" * 32
    start_worker(signing_keys=keys, require_signature=1)
    monkeypatch.setenv("RXSQL_SIGNING_KEYS", keys)
    where = RxInSqlServer(str(store_path))
    assert run(where, "total = 1", output_params=["total"]).parameters == {"total": 1}
    with sqlite3.connect(store_path) as connection:
        connection.execute("INSERT INTO submit_script (job_id, script) VALUES ('unsigned', 'print(1)')")
    from rxsql.store import jobs
    from rxsql.store.engine import open_store

    store = open_store(str(store_path))
    from conftest import wait_until

    assert wait_until(lambda: jobs.job_status(store, "unsigned").is_final)
    assert "not signed" in jobs.get_job(store, "unsigned").error


def test_pandas_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pandas the error says what to install, and where."""
    from rxsql.scripts import need

    need.pandas.cache_clear()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ScriptError, match=r"rxsql\[scripts\]"):
        need.pandas()
    monkeypatch.undo()
    need.pandas.cache_clear()
