"""Bad input gets an error that says what to do next, before anything is stored."""

from __future__ import annotations

import functools
import gc
import sqlite3
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from rxsql import (
    RxInSqlServer,
    RxLocalParallel,
    RxOptions,
    RxRemoteComputeContext,
    rx_exec,
    rx_get_compute_context,
    rx_get_jobs,
    rx_set_compute_context,
)
from rxsql.errors import (
    ArgumentsError,
    JobExistsError,
    NotSupportedError,
    PayloadError,
    SettingsError,
    StoreError,
    WorkerStartError,
)

LOCK = threading.Lock()


def square(x):
    return x * x


def stored(path: Path) -> int:
    """Count the jobs, tasks, functions and inputs in a store; 0 where there is not even a file."""
    if not path.exists():
        return 0
    connection = sqlite3.connect(path)
    tables = ("jobs", "task_rows", "functions", "inputs")
    counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
    connection.close()
    return sum(counts)


# ------------------------------------------------------------------------------------------- what cannot travel


def uses_global():
    return LOCK


def uses_helper():
    return uses_global()


def closure():
    lock = threading.Lock()
    return lambda: lock


class Holder:
    def __init__(self):
        self.lock = threading.Lock()

    def __call__(self):
        return self.lock

    def method(self):
        return self.lock


@pytest.mark.parametrize("where", ["RxInSqlServer", "RxLocalParallel"])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            {"function": uses_global},
            r"'uses_global' cannot be pickled because of the global 'LOCK' \(a lock\)",
        ),
        (
            {"function": uses_helper},
            r"because of the global 'uses_global', in it the global 'LOCK' \(a lock\)",
        ),
        ({"function": closure()}, r"because of its variable 'lock' \(a lock\)"),
        ({"function": functools.partial(square, LOCK)}, r"because of its argument 0 \(a lock\)"),
        ({"function": functools.partial(square, x=LOCK)}, r"because of its argument 'x' \(a lock\)"),
        ({"function": Holder()}, r"because of its attribute 'lock' \(a lock\)"),
        (
            {"function": Holder().method},
            r"because of its object.*its attribute 'lock' \(a lock\)|its object \(a Holder\)",
        ),
        (
            {"function": square, "x": 1, "local_state": {"a": 1, "b": LOCK}},
            r"because of local_state\['b'\] \(a lock\)",
        ),
        ({"function": square, "x": LOCK}, r"The argument 'x' \(a lock\) cannot be pickled"),
        ({"function": square, "args": {"x": LOCK}}, r"The argument 'x' \(a lock\) cannot be pickled"),
        ({"function": square, "x": [1, LOCK, 3]}, r"The argument 'x' of run 1 \(a lock\) cannot be pickled"),
        (
            {"function": square, "x": [1, 2, 3, LOCK], "task_chunk_size": 3},
            r"The argument 'x' of run 3 \(a lock\)",
        ),
        (
            {"function": square, "args": [{"x": 1}, {"x": [LOCK]}]},
            r"The argument 'x' of run 1 \(a list\) cannot be pickled",
        ),
    ],
)
def test_what_cannot_be_pickled_is_named(context, store_path, where, call, message):
    """The error names the variable or argument in the way, and says what to do instead; nothing is stored."""
    with pytest.raises(PayloadError, match=message) as caught:
        rx_exec(compute_context=context() if where == "RxInSqlServer" else RxLocalParallel(), **call)
    assert "Create such objects inside the function" in str(caught.value) or "Pass plain data" in str(
        caught.value
    )
    assert caught.value.__cause__ is not None
    assert stored(store_path) == 0


@pytest.mark.parametrize(
    "call",
    [
        {"x": [1, 2], "y": [1]},
        {"args": [{"x": 1}, {"x": 2}], "times_to_run": 3},
        {"x": 1, "times_to_run": "often"},
        {"x": 1, "callback": 1},
        {"y": 1},
    ],
)
def test_contradictions_store_nothing(context, store_path, call):
    """Arguments that do not fit together never reach the store."""
    with pytest.raises(ArgumentsError):
        rx_exec(square, compute_context=context(), **call)
    assert stored(store_path) == 0


# ------------------------------------------------------------------------------------------- contexts


@pytest.mark.parametrize("name", ["RxSpark", "", "local par"])
def test_an_unknown_context_name(name):
    """An unknown name is refused with the names there are, and the current context stays."""
    before = rx_get_compute_context()
    for call in (
        rx_set_compute_context,
        rx_get_jobs,
        lambda name: rx_exec(square, x=1, compute_context=name),
    ):
        with pytest.raises(
            ArgumentsError, match=r"RxLocalSeq \(local\), RxLocalParallel \(localpar\) and RxInSqlServer"
        ):
            call(name)
    assert rx_get_compute_context() is before


@pytest.mark.parametrize("thing", [5, RxInSqlServer, None])
def test_what_is_no_context(thing):
    """A class, a number or None is not a context that could be set."""
    with pytest.raises(ArgumentsError, match="A compute context is an object such as RxInSqlServer"):
        rx_set_compute_context(thing)


def test_a_context_that_runs_nothing():
    """`rx_exec` in a base context says which contexts there are."""
    with pytest.raises(NotSupportedError, match="Use RxInSqlServer, RxLocalParallel or RxLocalSeq"):
        rx_exec(square, x=1, compute_context=RxRemoteComputeContext("mine", "1"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_tasks": -1}, "num_tasks must be a whole number from 0, not -1"),
        ({"num_tasks": "4"}, "num_tasks must be a whole number"),
        ({"num_tasks": 1.5}, "num_tasks must be a whole number"),
        ({"num_tasks": True}, "num_tasks must be a whole number"),
        ({"execution_timeout_seconds": -5}, "execution_timeout_seconds must be a whole number from 0"),
        ({"execution_timeout_seconds": 0.5}, "execution_timeout_seconds must be a whole number"),
        ({"auto_cleanup": "no"}, "auto_cleanup must be True or False, not 'no'"),
        ({"console_output": 2}, "console_output must be True or False"),
        ({"wait": "False"}, "wait must be True or False"),
        ({"packages_to_load": ["not a module"]}, "packages_to_load names modules; 'not a module' is not one"),
        ({"packages_to_load": [5]}, "packages_to_load names modules; 5 is not one"),
        ({"packages_to_load": 5}, "packages_to_load must be a list of module names"),
        ({"job_id": "with a blank"}, "job_id is up to 128 letters"),
        ({"job_id": "x" * 129}, "job_id is up to 128 letters"),
        ({"job_id": ""}, "job_id is up to 128 letters"),
        ({"job_id": 7}, "job_id is up to 128 letters"),
    ],
)
def test_wrong_options_of_a_context(options, message):
    """An option of the wrong type or range is refused when the context is made."""
    with pytest.raises(ArgumentsError, match=message):
        RxInSqlServer("jobs.db", **options)


@pytest.mark.parametrize("name", ["", "  ", None, 5])
def test_a_context_needs_a_store(name):
    """An empty connection string, or none, is refused."""
    with pytest.raises(ArgumentsError, match="connection_string must be an ODBC string, a URL or a path"):
        RxInSqlServer(name)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("reportProgress", "yes", "reportProgress must be a whole number from 0"),
        ("NumCoresToUse", 1.5, "NumCoresToUse must be a whole number from -1"),
        ("noSuchOption", 1, "There is no option 'noSuchOption'. The options are: .*reportProgress"),
    ],
)
def test_wrong_session_options(name, value, message):
    """An unknown option, or a wrong value of one that is read, is refused."""
    with pytest.raises(ArgumentsError, match=message):
        RxOptions.set_option(name, value)


# ------------------------------------------------------------------------------------------- stores


def test_a_job_id_is_taken_once(context, store_path):
    """A second job of the same id is refused with both ways out, and the first one is left alone."""
    first = rx_exec(square, x=2, compute_context=context(wait=False, job_id="mine"))
    before = stored(store_path)
    with pytest.raises(
        JobExistsError, match="Choose another job_id, or remove it: rxsql cleanup --force mine"
    ):
        rx_exec(square, x=3, compute_context=context(job_id="mine"))
    assert stored(store_path) == before
    assert first.job_id == "mine"


def test_a_store_that_is_none(tmp_path: Path):
    """A file that is no store is refused by name, and not changed."""
    path = tmp_path / "notes.txt"
    path.write_text(
        "these are notes, and more than a hundred bytes of them, so that nobody takes them for a store " * 3
    )
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"notes.txt is not an SQLite file. Name another path"):
        rx_exec(square, x=1, compute_context=RxInSqlServer(str(path)))
    assert path.read_bytes() == before


def test_a_server_needs_a_substitute():
    """Where no SQL Server answers, the error says how to name the store that takes its place."""
    pytest.importorskip(
        "pyodbc", reason="pyodbc needs libodbc from the operating system", exc_type=ImportError
    )
    where = RxInSqlServer("Driver=SQL Server;Server=tcp:127.0.0.1,9;Database=RevoTestDb;UID=me;PWD=x;")
    with pytest.raises(StoreError, match="RXSQL_STORE"):
        rx_exec(square, x=1, compute_context=where)


def test_a_wrong_setting_is_named(context, store_path, monkeypatch):
    """A setting that is no number is refused with its variable's name; nothing is stored."""
    monkeypatch.setenv("RXSQL_MAX_ATTEMPTS", "three")
    with pytest.raises(SettingsError, match="RXSQL_MAX_ATTEMPTS must be a whole number, not 'three'"):
        rx_exec(square, x=1, compute_context=context())
    assert stored(store_path) == 0


def test_a_worker_that_cannot_start(context, store_path, monkeypatch):
    """The caller gets the worker's last words, nothing is stored, and the chosen id is still free."""
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # no Python starts with this
    said = "(?s)could not be started.*No module named 'encodings'.*rxsql worker"
    with pytest.raises(WorkerStartError, match=said):
        rx_exec(square, x=2, compute_context=context(job_id="mine"))
    assert stored(store_path) == 0
    monkeypatch.delenv("PYTHONHOME")
    assert rx_exec(square, x=2, compute_context=context(job_id="mine")) == [4]


class _AsksForTheCollector:
    """Notes, when it is pickled, whether the garbage collector runs."""

    def __init__(self, notes, *, fails=False):
        self.notes, self.fails = notes, fails

    def __reduce__(self):
        self.notes.append(gc.isenabled())
        if self.fails:
            raise ValueError("not this one")
        return int, ()


@pytest.mark.parametrize("fails", [False, True])
def test_the_garbage_collector_rests_only_while_many_runs_are_submitted(context, fails):
    """It is on again afterwards, also where the submission fails."""
    notes = []
    values = [_AsksForTheCollector(notes, fails=fails), *range(1500)]
    with pytest.raises(PayloadError) if fails else nullcontext():
        rx_exec(lambda x: x, x=values, task_chunk_size=100, compute_context=context())
    assert notes[0] is False
    assert gc.isenabled()
