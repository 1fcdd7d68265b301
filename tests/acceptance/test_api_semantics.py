"""What `rx_exec` means is the same in every context: these tests run in all of them."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import stop_workers

from rxsql import (
    RxInSqlServer,
    RxLocalParallel,
    RxLocalSeq,
    RxOptions,
    rx_exec,
    rx_get_compute_context,
    rx_set_compute_context,
)
from rxsql.errors import ArgumentsError, FailedRunsWarning, JobFailedError, PayloadError, RunError

FACTOR = 2
ALL = ("RxLocalSeq", "RxLocalParallel", "RxInSqlServer")


@pytest.fixture(scope="module")
def shared_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The path of a store for all tests of this module: its worker is warm for the second one."""
    path = tmp_path_factory.mktemp("store") / "jobs.db"
    yield path
    stop_workers(path)


@pytest.fixture(params=ALL)
def where(request: pytest.FixtureRequest, shared_path: Path) -> object:
    """A compute context of each kind."""
    return make(request.param, shared_path)


@pytest.fixture(params=ALL[1:])
def parallel(request: pytest.FixtureRequest, shared_path: Path) -> Iterator[object]:
    """A compute context of each kind that runs in other processes, two at once."""
    before = RxOptions.get_option("NumCoresToUse")
    RxOptions.set_option("NumCoresToUse", 2)
    yield make(request.param, shared_path)
    RxOptions.set_option("NumCoresToUse", before)


def make(kind: str, path: Path) -> object:
    """Make a context of a kind."""
    contexts: dict[str, Callable[[], object]] = {
        "RxLocalSeq": RxLocalSeq,
        "RxLocalParallel": RxLocalParallel,
        "RxInSqlServer": lambda: RxInSqlServer(f"sqlite:///{path}", num_tasks=2),
    }
    return contexts[kind]()


def square(x):
    return x * x


def add(x, y):
    return x + y


def constant():
    return 7


def scaled(x):
    return x * FACTOR


# ------------------------------------------------------------------------------------------ runs and results


CALLS = [
    ({"function": constant}, [7]),
    ({"function": constant, "times_to_run": 3}, [7, 7, 7]),
    ({"function": constant, "args": {}}, [7]),
    ({"function": square, "args": {"x": 3}}, [9]),
    ({"function": square, "args": {"x": 3}, "times_to_run": 2}, [9, 9]),
    ({"function": square, "args": [{"x": 1}, {"x": 2}]}, [1, 4]),
    ({"function": square, "args": [{"x": 1}, {"x": 2}], "times_to_run": 2}, [1, 4]),
    ({"function": square, "args": [{"x": 5}], "times_to_run": 2}, [25, 25]),
    ({"function": square, "x": 4}, [16]),
    ({"function": square, "x": [1, 2, 3]}, [1, 4, 9]),
    ({"function": square, "x": list(range(7)), "task_chunk_size": 3}, [0, 1, 4, 9, 16, 25, 36]),
    ({"function": add, "x": [1, 2, 3], "y": 6}, [7, 8, 9]),
    ({"function": add, "x": [1, 2, 3], "y": [4, 5, 6]}, [5, 7, 9]),
    ({"function": add, "args": [{"x": 1}, {"x": 2}], "y": 10}, [11, 12]),
    ({"function": add, "args": [{"x": 1}, {"x": 2}], "y": [10, 20]}, [11, 22]),
    ({"function": add, "args": {"y": 1}, "x": [1, 2]}, [2, 3]),
    ({"function": list, "args": {}}, [[]]),
    ({"function": add, "args": {"x": [1], "y": [2]}}, [[1, 2]]),
    ({"function": add, "x": [[0, 1]], "y": [[2]]}, [[0, 1, 2]]),
    ({"function": add, "x": [[0], [1]], "y": [[2], [3]]}, [[0, 2], [1, 3]]),
    ({"function": add, "x": (1,), "y": (2,)}, [(1, 2)]),
]
# The processes of RxLocalParallel take a second to start, and the rules are the same code: some calls are enough there.
CASES = [
    (kind, *call)
    for kind in ALL
    for number, call in enumerate(CALLS)
    if kind != "RxLocalParallel" or number % 6 == 0
]


@pytest.mark.parametrize(("kind", "call", "expected"), CASES)
def test_arguments_become_runs(shared_path, kind, call, expected):
    """Dicts, lists of dicts, spread, wrapped and shared keywords give the runs the reference describes, in order."""
    assert rx_exec(compute_context=make(kind, shared_path), **call) == expected


def test_positional_use(where):
    """The arguments can be given by position, in revoscalepy's order."""
    seen = []
    assert rx_exec(square, [{"x": 1}, {"x": 2}], 2, 1, where, {}, seen.append, True) == [1, 4]
    assert seen == [1, 4]


def test_results_stand_in_the_order_of_the_runs(parallel, tmp_path):
    """A run that ends last keeps its place."""

    def after(own, other):
        deadline = time.monotonic() + 30
        while other is not None and not os.path.exists(other):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        open(own, "w").close()
        return os.path.basename(own)

    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    assert rx_exec(after, own=[first, second], other=[second, None], compute_context=parallel) == [
        "first",
        "second",
    ]


def test_the_current_context_is_used(where):
    """Without `compute_context` the current one counts, and setting it returns the one before."""
    before = rx_get_compute_context()
    assert rx_set_compute_context(where) is before
    assert rx_get_compute_context() is where
    assert rx_exec(square, x=[2, 3]) == [4, 9]
    assert rx_set_compute_context("RxLocalSeq") is where


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("RxLocalSeq", RxLocalSeq),
        ("local", RxLocalSeq),
        ("RxLocalParallel", RxLocalParallel),
        ("localpar", RxLocalParallel),
        ("RxInSqlServer", RxInSqlServer),
        ("sqlserver", RxInSqlServer),
    ],
)
def test_contexts_have_names(name, kind):
    """A context can be set by revoscalepy's names and by R's."""
    rx_set_compute_context(name)
    assert type(rx_get_compute_context()) is kind


# --------------------------------------------------------------------------------------- what can be a function


def test_lambdas_closures_and_partials_run(where):
    """Functions without a name of their own travel with what they close over."""
    offset = 5

    def shifted(x):
        return x + offset

    class Adder:
        def __init__(self, amount):
            self.amount = amount

        def __call__(self, x):
            return x + self.amount

        def add(self, x):
            return x + self.amount

    assert rx_exec(lambda x: x + 1, x=[1, 2], compute_context=where) == [2, 3]
    assert rx_exec(shifted, x=[1, 2], compute_context=where) == [6, 7]
    assert rx_exec(functools.partial(add, y=3), x=[1, 2], compute_context=where) == [4, 5]
    assert rx_exec(Adder(2), x=[1, 2], compute_context=where) == [3, 4]
    assert rx_exec(Adder(4).add, x=[1, 2], compute_context=where) == [5, 6]


def test_globals_travel(where):
    """A function finds the globals of its module that it uses."""
    assert rx_exec(scaled, x=[1, 2], compute_context=where) == [2, 4]


OWN_MODULE = """
from dataclasses import dataclass

@dataclass
class Point:
    x: int
    def moved(self, by):
        return Point(self.x + by)

class OddError(Exception):
    def __init__(self, x):
        super().__init__(f"{x} is odd")
        self.x = x

def helper(x):
    return Point(x)

def make(x):
    return helper(x).moved(1)

def refuse(x):
    if x % 2:
        raise OddError(x)
    return x
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A module that only this process can import."""
    folder = tmp_path / "only_here"
    folder.mkdir()
    (folder / "mine_alone.py").write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module("mine_alone")
    del sys.modules["mine_alone"]


def test_own_modules_travel(where, own_module):
    """A function of a module that the worker cannot import runs, and its objects come back as the client's own."""
    method = own_module.Point.moved
    points = rx_exec(own_module.make, x=[1, 2], compute_context=where)
    assert points == [own_module.Point(2), own_module.Point(3)]
    assert {type(point) for point in points} == {own_module.Point}
    assert own_module.Point.moved is method


def test_own_exceptions_come_back_as_themselves(where, own_module):
    """An exception of the user's own class is that class, with its attributes."""
    with pytest.warns(FailedRunsWarning):
        results = rx_exec(own_module.refuse, x=[2, 3], compute_context=where)
    assert results[0] == 2
    assert type(results[1]) is own_module.OddError
    assert results[1].x == 3


# ------------------------------------------------------------------------------------------ failures


def fail_at(x, bad):
    if x == bad:
        raise ValueError(f"bad {x}")
    return x


def test_a_failed_run_stands_at_its_index(where):
    """Of 20 runs one fails: 20 results, its exception at [13] with the traceback, and a warning that counts."""
    with pytest.warns(
        FailedRunsWarning, match=r"1 of 20 runs failed.*\(run 13\).*ValueError: bad 13"
    ) as caught:
        results = rx_exec(fail_at, [{"x": x} for x in range(20)], bad=13, compute_context=where)
    assert [value for value in results if not isinstance(value, Exception)] == [
        x for x in range(20) if x != 13
    ]
    assert type(results[13]) is ValueError
    assert str(results[13]) == "bad 13"
    trace = str(results[13].__cause__)
    assert "Traceback (most recent call last)" in trace
    assert 'raise ValueError(f"bad {x}")' in trace
    assert not any(f"/rxsql/{part}/" in trace for part in ("client", "payload", "worker"))
    assert [warning.filename for warning in caught] == [__file__]


def test_all_runs_failed(where):
    """When every run failed the call raises a `RuntimeError` with the remote traceback, caused by the exception."""
    with pytest.raises(RuntimeError) as caught:
        rx_exec(fail_at, x=[1, 1], bad=1, compute_context=where)
    assert isinstance(caught.value, JobFailedError)
    text = str(caught.value)
    assert "revoscalepy function failed" in text
    assert "2 of 2 runs failed" in text
    assert "in fail_at" in text
    assert 'raise ValueError(f"bad {x}")' in text
    assert type(caught.value.__cause__) is ValueError


def test_the_only_run_failed(where):
    """A single run that fails makes its job fail."""
    with pytest.raises(JobFailedError, match="ValueError: bad 1"):
        rx_exec(fail_at, x=1, bad=1, compute_context=where)


def test_continue_on_failure_false_fails_the_job(where):
    """One failure fails the whole call when it is not to go on."""
    with pytest.raises(JobFailedError, match="ValueError: bad 1") as caught:
        rx_exec(fail_at, x=[0, 1, 2, 3], bad=1, continue_on_failure=False, compute_context=where)
    assert 'raise ValueError(f"bad {x}")' in str(caught.value)


def test_continue_on_failure_false_starts_nothing_more(where, tmp_path):
    """Runs that have not begun when one fails are not started; those under way are ended."""

    def first_fails(x, folder):
        open(os.path.join(folder, str(x)), "w").close()
        if x == 0:
            raise ValueError("the first")
        while True:  # only an end from outside ends it
            time.sleep(0.01)

    with pytest.raises(JobFailedError, match="the first"):
        rx_exec(
            first_fails,
            x=list(range(30)),
            folder=str(tmp_path),
            continue_on_failure=False,
            compute_context=where,
        )
    assert {int(name) for name in os.listdir(tmp_path)} <= set(range(8))


@pytest.mark.parametrize("kind", ["RxLocalSeq", "RxInSqlServer"])
@pytest.mark.parametrize("chunk", [1, 100])
def test_continue_on_failure_false_holds_at_speed(shared_path, tmp_path, kind, chunk):
    """One after the other, no run behind the failed one is started: neither in its task, nor when tasks are tiny."""

    def touch(x, folder):
        open(os.path.join(folder, str(x)), "w").close()
        if x == 150:
            raise ValueError("enough")

    where = (
        RxInSqlServer(f"sqlite:///{shared_path}", num_tasks=1) if kind == "RxInSqlServer" else RxLocalSeq()
    )
    with pytest.raises(JobFailedError, match="enough"):
        rx_exec(
            touch,
            x=list(range(300)),
            folder=str(tmp_path),
            task_chunk_size=chunk,
            continue_on_failure=False,
            compute_context=where,
        )
    assert sorted(int(name) for name in os.listdir(tmp_path)) == list(range(151))


def test_an_exception_that_cannot_travel(where):
    """An exception that cannot be pickled still stands at its index, with its text and traceback."""

    class HeavyError(Exception):
        def __init__(self, text):
            super().__init__(text)
            import threading

            self.lock = threading.Lock()

    def raise_heavy(x):
        if x:
            raise HeavyError("too heavy")
        return x

    with pytest.warns(FailedRunsWarning, match="HeavyError: too heavy"):
        results = rx_exec(raise_heavy, x=[0, 1], compute_context=where)
    assert results[0] == 0
    assert isinstance(results[1], Exception)
    assert "too heavy" in str(results[1])
    assert "raise HeavyError" in str(results[1].__cause__)


def test_sys_exit_is_a_failed_run(where):
    """`sys.exit` in a run ends that run, and neither the worker nor the caller."""

    def leave(x):
        if x:
            sys.exit("enough")
        return x

    with pytest.warns(FailedRunsWarning, match="SystemExit: enough"):
        results = rx_exec(leave, x=[0, 1, 0], compute_context=where)
    assert (results[0], results[2]) == (0, 0)
    assert type(results[1]) is SystemExit


def test_a_returned_exception_is_a_value(where):
    """An exception that is returned, not raised, is a result like any other."""
    results = rx_exec(lambda: KeyError("mine"), compute_context=where)
    assert [type(value) for value in results] == [KeyError]


def test_an_unpicklable_result_fails_its_run(parallel):
    """A result that cannot travel is an error at its place that says so; the other runs are whole."""

    def lock(x):
        import threading

        return threading.Lock() if x else "fine"

    with pytest.warns(FailedRunsWarning, match=r"\(a lock\) cannot be pickled"):
        results = rx_exec(lock, x=[0, 1, 0], compute_context=parallel)
    assert (results[0], results[2]) == ("fine", "fine")
    assert isinstance(results[1], PayloadError)
    assert "Return plain data instead" in str(results[1])


def test_a_process_that_dies_fails_only_its_run(parallel):
    """`os._exit` in one run is an error at its place; the other runs are whole."""

    def die(x):
        if x == 2:
            os._exit(3)
        return x

    with pytest.warns(FailedRunsWarning, match="1 of 5 runs failed"):
        results = rx_exec(die, x=list(range(5)), compute_context=parallel)
    assert results[:2] + results[3:] == [0, 1, 3, 4]
    assert isinstance(results[2], RunError)
    assert "died" in str(results[2])


# ------------------------------------------------------------------------------------------ callbacks and state


def test_the_callback_gets_each_value(where):
    """The callback is called here with the value of each run that returned one, in the order of the runs."""
    seen = []
    with pytest.warns(FailedRunsWarning):
        rx_exec(
            fail_at,
            x=[0, 1, 2],
            bad=1,
            callback=lambda value: seen.append((os.getpid(), value)),
            compute_context=where,
        )
    assert seen == [(os.getpid(), 0), (os.getpid(), 2)]


def through_helper(x):
    return helper_with_state() + x


def helper_with_state():
    return state_of_the_job["value"]  # noqa: F821 - it comes with local_state


def test_local_state_is_among_the_globals(where):
    """The function and its helpers find `local_state` among their globals; this module's own are left alone."""
    state = {"state_of_the_job": {"value": 40}, "FACTOR": 10}
    assert rx_exec(through_helper, x=[1, 2], local_state=state, compute_context=where) == [41, 42]
    assert rx_exec(scaled, x=3, local_state=state, compute_context=where) == [30]
    assert "state_of_the_job" not in globals()
    assert FACTOR == 2


def test_local_state_reaches_wrapped_functions(where):
    """A partial and a decorated function find it too."""

    def decorated(function):
        @functools.wraps(function)
        def inner(**kwargs):
            return function(**kwargs)

        return inner

    state = {"FACTOR": 5}
    assert rx_exec(functools.partial(scaled, 2), local_state=state, compute_context=where) == [10]
    assert rx_exec(functools.lru_cache(scaled), x=3, local_state=state, compute_context=where) == [15]
    assert rx_exec(decorated(scaled), x=4, local_state=state, compute_context=where) == [20]


def grow(items):
    items.append(1)
    return len(items)


def test_runs_do_not_share_their_arguments(where):
    """What a run does to an argument is seen neither by the next run nor by the caller."""
    items: list[int] = []
    rows = [{"items": items}, {"items": items}]
    assert rx_exec(grow, {"items": items}, times_to_run=3, task_chunk_size=3, compute_context=where) == [
        1,
        1,
        1,
    ]
    assert rx_exec(grow, rows, compute_context=where) == [1, 1]
    assert rx_exec(grow, [*rows, {"items": [5]}], task_chunk_size=3, compute_context=where) == [1, 1, 2]
    assert rx_exec(grow, items=[[1], [1, 2]], compute_context=where) == [2, 3]
    assert items == []


def test_local_state_is_not_shared_with_the_caller(where):
    """What a run does to `local_state` is not seen here."""
    state = {"state_of_the_job": {"value": 0}}

    def change():
        state_of_the_job["value"] += 1  # noqa: F821
        return state_of_the_job["value"]  # noqa: F821

    assert rx_exec(change, local_state=state, compute_context=where) == [1]
    assert state == {"state_of_the_job": {"value": 0}}


# ------------------------------------------------------------------------------------------ argument errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"function": add, "x": [1, 2], "y": [1, 2, 3]}, "x has 2, y has 3.*wrap it in a list"),
        (
            {"function": add, "args": [{"x": 1}, {"x": 2}], "y": [1]},
            "y has 1, args has 2|args has 2.*y has 1",
        ),
        (
            {"function": square, "args": [{"x": 1}, {"x": 2}], "times_to_run": 3},
            "times_to_run is 3.*for 2 runs.*Leave one",
        ),
        ({"function": square, "x": [1, 2], "times_to_run": 5}, "times_to_run is 5.*for 2 runs"),
        ({"function": square, "x": 1, "times_to_run": 0}, "times_to_run must be a whole number from 1"),
        ({"function": square, "x": 1, "times_to_run": -2}, "times_to_run must be a whole number"),
        ({"function": square, "x": 1, "times_to_run": "2"}, "times_to_run must be a whole number"),
        ({"function": square, "x": 1, "task_chunk_size": 0}, "task_chunk_size must be a whole number from 1"),
        (
            {"function": square, "x": 1, "task_chunk_size": True},
            "task_chunk_size must be a whole number from 1",
        ),
        ({"function": square, "args": {"x": 1}, "x": 2}, "'x' is given twice"),
        ({"function": square, "args": []}, "nothing to run"),
        ({"function": square, "x": []}, "x is an empty list"),
        ({"function": square, "args": 5}, "args must be a dict.*or a list of dicts"),
        ({"function": square, "args": [1]}, r"args\[0\] must be a dict"),
        ({"function": square, "y": 1}, "do not fit the function: .*'x'"),
        ({"function": square, "args": [{"x": 1}, {"z": 1}]}, "arguments of run 1 do not fit"),
        ({"function": "square", "x": 1}, "function must be callable"),
        ({"function": square, "x": 1, "callback": 5}, "callback must be a function"),
        ({"function": square, "x": 1, "local_state": [1]}, "local_state must be a dict"),
        (
            {"function": square, "x": 1, "local_state": {1: 2}},
            "local_state must be a dict of variables by their names",
        ),
        (
            {"function": len, "args": {}, "local_state": {"a": 1}},
            "local_state is for the globals of a Python function|do not fit",
        ),
        (
            {"function": dict, "args": {}, "local_state": {"a": 1}},
            "local_state is for the globals of a Python function",
        ),
        (
            {"function": square, "x": 1, "continue_on_failure": "no"},
            "continue_on_failure must be True or False",
        ),
    ],
)
def test_contradicting_arguments_are_refused(where, call, message):
    """Arguments that cannot mean anything are a `ValueError` that says what to change."""
    with pytest.raises(ArgumentsError, match=message) as caught:
        rx_exec(compute_context=where, **call)
    assert isinstance(caught.value, ValueError)
