"""Tables on their way: spools of pages, and the columns that are made of them page by page."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import os
import uuid

import pandas as pd
import pytest

from rxsql import pages
from rxsql.errors import ScriptError
from rxsql.pages import IN, OUT, Page, Spool, unpack
from rxsql.sections import Descriptor
from rxsql.scripts import reading, writing
from rxsql.scripts.columns import SqlColumn, dump_header
from rxsql.store import jobtables

SOME = [Page(IN, number, 1, '[["ü", "int", null, null]]', f"[[{number}]]") for number in range(5)]


@pytest.fixture(params=["memory", "file"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a spool keeps its pages."""
    if request.param == "file":
        monkeypatch.setattr(pages, "_IN_MEMORY", 50)
    return str(request.param)


def test_a_spool_gives_its_pages_as_often_as_asked(place: str) -> None:
    """What was put in comes out, in its order, twice; it is a file only where it is large."""
    spool = Spool(SOME)
    assert (spool.file is not None) == (place == "file")
    assert list(spool) == list(spool) == SOME


def test_a_spool_is_handed_on_by_its_file_or_its_bytes(place: str) -> None:
    """Another process reads the same pages."""
    spool = Spool(SOME)
    if spool.file is None:
        assert list(Spool.of(spool.data)) == list(unpack(spool.data)) == SOME
        return
    received = Spool.received(Descriptor(os.dup(spool.file.fd)))
    assert (list(received), len(received)) == (SOME, len(spool))


def test_a_file_is_closed_with_its_last_holder(place: str) -> None:
    """No descriptor is left of a spool that is gone."""
    before = len(os.listdir("/proc/self/fd"))
    spool = Spool(SOME)
    assert len(os.listdir("/proc/self/fd")) == before + (place == "file")
    del spool
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_no_page_is_said(place: str) -> None:
    """Bytes that are cut off, or are something else, are an error and no table."""
    spool = Spool(SOME)
    if spool.file is not None:
        os.ftruncate(spool.file.fd, len(spool) - 3)
        with pytest.raises(ValueError, match="cut off"):
            list(spool)
        return
    for damaged in (spool.data[:-3], b"(deleted)", b"x" * 100):
        with pytest.raises(ValueError, match="no page|cut off"):
            list(unpack(damaged))


def _frame(type_name: str, *parts: str) -> pd.DataFrame:
    header = dump_header([SqlColumn("x", type_name)])
    return reading.frame_of(Page(IN, number, 2, header, part) for number, part in enumerate(parts))


@pytest.mark.parametrize(
    ("type_name", "parts", "dtype", "values"),
    [
        ("int", ("[[1],[2]]", "[[3],[4]]"), "int32", [1, 2, 3, 4]),
        ("int", ("[[1],[2]]", "[[null],[4]]"), "float64", [1.0, 2.0, None, 4.0]),
        ("bigint", ("[[null],[2]]", "[[9223372036854775807],[4]]"), "Int64", [None, 2, 2**63 - 1, 4]),
        ("bigint", ('[["5"],[2]]',), "int64", [5, 2]),
        ("float", ('[["0.1"],[2]]', "[[null],[1]]"), "float64", [0.1, 2.0, None, 1.0]),
        ("bit", ("[[true],[0]]", "[[null],[1]]"), "object", [True, False, None, True]),
        ("bit", ("[[true],[0]]", '[[false],["1"]]'), "bool", [True, False, False, True]),
        ("nvarchar", ('[["a"],[null]]', '[["b"],["c"]]'), "object", ["a", None, "b", "c"]),
    ],
)
def test_a_column_has_one_dtype_whatever_its_pages(
    type_name: str, parts: tuple[str, ...], dtype: str, values: list[object]
) -> None:
    """A NULL in one page decides for all; values are those of all pages in their order."""
    column = _frame(type_name, *parts)["x"]
    assert str(column.dtype) == dtype
    assert [None if pd.isna(value) else value for value in column.tolist()] == values


def test_moments_of_all_pages_have_one_unit() -> None:
    """Where a page has years that nanoseconds cannot hold, all are in microseconds, unless one is finer."""
    late = '[["9999-12-31 00:00:00"],[null]]'
    column = _frame("datetime2", '[["2020-01-01 00:00:00.1234560"],[null]]', late)["x"]
    assert str(column.dtype) == "datetime64[us]"
    assert [str(value) for value in column] == [
        *("2020-01-01 00:00:00.123456", "NaT"),
        *("9999-12-31 00:00:00", "NaT"),
    ]
    with pytest.raises(ScriptError, match="cannot hold together"):
        _frame("datetime2", '[["2020-01-01 00:00:00.1234567"],[null]]', late)


def test_a_page_that_is_missing_is_said() -> None:
    """A table of which somebody has deleted a part is no smaller table."""
    with pytest.raises(ScriptError, match="Page 1 of the data is missing"):
        reading.frame_of(page for page in SOME if page.page != 1)


@pytest.mark.parametrize("cell", ['"x"', "1e400", "[1]", "9223372036854775808"])
def test_a_cell_of_another_type_is_said(cell: str) -> None:
    """What is no number is named with its column."""
    with pytest.raises(ScriptError, match="'x' has a value that is no bigint"):
        _frame("bigint", f"[[{cell}],[1]]")


def test_wide_rows_make_small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """No page has much more text than it should, unless one row has; the table stays the same."""
    monkeypatch.setattr(writing, "PAGE_CHARACTERS", 1_000)
    table = pd.DataFrame({"x": ["a" * 90] * 100 + ["b" * 3_000] + ["c"]})
    made = list(writing.pages_of(table, OUT))
    assert [page.page for page in made] == list(range(len(made)))
    assert all(len(page.body) <= 1_000 or page.row_count == 1 for page in made)
    assert [row[-1] for page in made for row in json.loads(page.body)] == list(range(len(table)))
    assert reading.frame_of(made)["x"].tolist() == table["x"].tolist()


def test_rows_of_a_driver_are_the_cells_of_a_page() -> None:
    """Values as drivers give them, NULLs too, are in the script's table what their column's type says."""
    given = {
        "bit": True,
        "bigint": 2**63 - 1,
        "float": -1.7976931348623157e308,
        "decimal": decimal.Decimal("-0.0000010000"),
        "nvarchar": 'ü 😀 "\\\n',
        "varbinary": b"\x00\xff",
        "date": dt.date(1, 1, 1),
        "time": dt.time(23, 59, 59, 123456),
        "datetime2": dt.datetime(2020, 1, 2, 3, 4, 5, 123456),
        "uniqueidentifier": uuid.UUID(int=1),
    }
    header = dump_header([SqlColumn(f"a {kind}", kind) for kind in given])
    rows = [tuple(given.values()), (None,) * len(given)]
    page = jobtables._filled(Page(IN, 0, 2, header, ""), rows)
    frame = reading.frame_of([page])
    made = {kind: frame[f"a {kind}"][0] for kind in given}
    assert made == {**given, "uniqueidentifier": str(uuid.UUID(int=1))}
    assert frame.iloc[1].isna().all()


def test_a_page_with_rows_missing_stays_empty() -> None:
    """Rows that are fewer than the page says are none of it."""
    page = Page(IN, 0, 2, dump_header([SqlColumn("a", "int")]), "")
    assert jobtables._filled(page, [(1,)]) == page
