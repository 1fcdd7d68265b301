"""The rules by which arguments become runs, as properties."""

from __future__ import annotations

import functools
import inspect
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxsql.client.runs import Runs, chunk_size, plan
from rxsql.errors import ArgumentsError

# A slow machine is no failure.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = st.sampled_from("abcdef")
SCALARS = (
    st.integers()
    | st.text(max_size=3)
    | st.none()
    | st.tuples(st.integers())
    | st.dictionaries(NAMES, st.integers())
)
VALUES = SCALARS | st.lists(st.integers(), max_size=3)


def anything(**kwargs):
    return kwargs


def calls(runs: Runs) -> list[dict]:
    """Return each run's arguments."""
    return [{**runs.shared, **own} for own in runs.own]


def columns(count: int, taken: set[str]) -> st.SearchStrategy:
    """Keyword lists with an element a run."""
    free = st.sampled_from([name for name in "abcdef" if name not in taken] or ["g"])
    return st.dictionaries(free, st.lists(VALUES, min_size=count, max_size=count), min_size=1)


@steady
@given(st.dictionaries(NAMES, VALUES), st.integers(1, 5))
def test_a_dict_is_the_same_for_each_run(args, times):
    """A dict is handed to each run as it is, lists in it included, as often as told."""
    assert calls(plan(anything, args, times, {})) == [args] * times
    assert calls(plan(anything, args, -1, {})) == [args]


@steady
@given(st.lists(st.dictionaries(NAMES, VALUES), min_size=1, max_size=6))
def test_a_list_of_dicts_is_a_run_each(rows):
    """A list of dicts gives its dicts, in order; `times_to_run` may repeat their number."""
    assert calls(plan(anything, rows, -1, {})) == rows
    assert calls(plan(anything, rows, len(rows), {})) == rows


@steady
@given(st.data(), st.integers(1, 6))
def test_keyword_lists_are_spread(data, count):
    """A keyword list gives one element to each run, anything else goes to all."""
    shared = data.draw(st.dictionaries(NAMES, SCALARS, max_size=3))
    spread = data.draw(columns(count, set(shared)))
    expected = [{**shared, **{name: values[run] for name, values in spread.items()}} for run in range(count)]
    assert calls(plan(anything, None, -1, {**shared, **spread})) == expected


@steady
@given(st.data(), st.integers(1, 5))
def test_rows_and_keyword_lists_mix(data, count):
    """A list of dicts, keyword lists of its length and scalars make one run an index."""
    rows = data.draw(
        st.lists(st.dictionaries(st.sampled_from("xyz"), VALUES), min_size=count, max_size=count)
    )
    spread = data.draw(columns(count, set()))
    expected = [
        {**row, **{name: values[run] for name, values in spread.items()}} for run, row in enumerate(rows)
    ]
    assert calls(plan(anything, rows, -1, spread)) == expected


@steady
@given(st.lists(VALUES, min_size=1, max_size=5))
def test_a_wrapped_list_is_a_value(value):
    """A list in a list of one is one run's value."""
    assert calls(plan(anything, None, -1, {"a": [value]})) == [{"a": value}]


@steady
@given(st.lists(st.integers(), min_size=1), st.lists(st.integers(), min_size=1))
def test_unequal_lists_are_refused(one, other):
    """Lists of different lengths are an error that has both; equal ones are not."""
    if len(one) == len(other):
        assert len(plan(anything, None, -1, {"a": one, "b": other})) == len(one)
        return
    with pytest.raises(ArgumentsError, match=f"a has {len(one)}, b has {len(other)}"):
        plan(anything, None, -1, {"a": one, "b": other})


@steady
@given(st.lists(st.integers(), min_size=1, max_size=6), st.integers(-3, 8))
def test_times_to_run_agrees_or_is_refused(values, times):
    """`times_to_run` is -1, the number of runs, or a repetition of a single one; anything else is refused."""
    count = len(values)
    if times in (-1, count):
        assert len(plan(anything, None, times, {"a": values})) == count
    elif count == 1 and times > 0:
        assert calls(plan(anything, None, times, {"a": values})) == [{"a": values[0]}] * times
    else:
        with pytest.raises(ArgumentsError, match="times_to_run"):
            plan(anything, None, times, {"a": values})


@steady
@given(st.integers(1, 5), st.lists(st.integers(), max_size=3))
def test_what_is_the_same_object_is_stored_once(count, value):
    """An argument that is one object in all runs stands among the shared ones; equal objects stay apart."""
    runs = plan(anything, [{"a": value, "b": list(value)} for _ in range(count)], -1, {})
    assert runs.shared["a"] is value
    assert calls(runs) == [{"a": value, "b": value}] * count
    assert runs.differ is (count > 1)


def test_planning_changes_nothing():
    """The caller's dicts and lists are left as they are."""
    rows, spread = [{"a": 1}, {"a": 2}], {"b": [3, 4]}
    calls(plan(anything, rows, -1, spread))[0]["a"] = 9
    assert (rows, spread) == ([{"a": 1}, {"a": 2}], {"b": [3, 4]})


def needs_x(x, *, y=1):
    return x, y


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ({}, {}, "run 0 do not fit the function: missing a required argument: 'x'"),
        ({"x": 1, "z": 2}, {}, "run 0 do not fit the function: got an unexpected keyword argument 'z'"),
        ([{"x": 1}, {"y": 1}], {}, "run 1 do not fit"),
        ({"x": 1}, {"x": 1}, "'x' is given twice"),
        ([{"x": 1}], {"x": [1]}, "'x' is given twice"),
        ("x", {}, "args must be a dict"),
        ([], {}, "nothing to run"),
    ],
)
def test_arguments_that_do_not_fit(args, kwargs, message):
    """The signature is checked before anything is stored."""
    with pytest.raises(ArgumentsError, match=message):
        plan(needs_x, args, -1, kwargs)


def wrapper(function):
    @functools.wraps(function)
    def inner(**kwargs):
        return function(**kwargs)

    return inner


@pytest.mark.parametrize(
    "function",
    [
        lambda: None,
        lambda a: None,
        lambda a, b=1: None,
        lambda a=1, *, b: None,
        lambda *, a, b=1: None,
        lambda *a, b: None,
        lambda a, **b: None,
        lambda a, /, b=1: None,
        lambda a=1, /, b=1: None,
        lambda a: [b for b in a],
        wrapper(lambda a: None),
        functools.partial(lambda a, b: None, 1),
        "a".replace,
    ],
    ids=lambda function: str(inspect.signature(function)),
)
def test_arguments_fit_where_the_signature_says_so(function):
    """What is decided without the signature is decided as by it."""
    for names in itertools.chain.from_iterable(itertools.combinations("abc", size) for size in range(4)):
        given = dict.fromkeys(names, 0)
        try:
            inspect.signature(function).bind(**given)
        except TypeError:
            with pytest.raises(ArgumentsError):
                plan(function, None, -1, given)
        else:
            assert plan(function, None, -1, given).shared == given


def test_functions_without_a_signature():
    """A built-in function that tells no signature is taken as it is."""
    assert len(plan(dict, {"anything": 1}, -1, {})) == 1


@steady
@given(st.none() | st.integers(-3, 10) | st.booleans() | st.floats() | st.text(max_size=2))
def test_chunk_size(value):
    """None is 1, whole numbers from 1 stay, anything else is refused."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        assert chunk_size(value) == (value or 1)
    else:
        with pytest.raises(ArgumentsError, match="task_chunk_size must be a whole number from 1"):
            chunk_size(value)
