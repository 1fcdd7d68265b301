"""From pages to a DataFrame: each SQL type in the dtype that the original documents, or one that loses nothing."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from typing import TYPE_CHECKING, Any

from rxsql.errors import ScriptError
from rxsql.scripts import columns as sql
from rxsql.scripts.columns import SqlColumn
from rxsql.scripts.need import numpy, pandas
from rxsql.scripts.sqltime import SqlTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pandas import DataFrame, Series

    from rxsql.scripts.pages import Page

_FIRST_NS, _LAST_NS = "1677-09-22", "2262-04-11"  # what 64 bits of nanoseconds hold
_MICROSECONDS = 26  # characters of 2020-01-02T03:04:05.123456


def frame_of(pages: Sequence[Page]) -> DataFrame:
    """Return a table's pages as one DataFrame; without a page, one with no columns.

    Raises:
        ScriptError: A cell is not of its column's type, or pandas cannot be imported.
    """
    if not pages:
        return pandas().DataFrame()
    if not pages[0].header:
        return _frame_of_objects(pages[0])
    header = sql.parse_header(pages[0].header)
    rows = [row for page in pages for row in _rows(page, len(header))]
    cells: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(header)
    made = dict(enumerate(map(_series, header, cells)))
    frame = pandas().DataFrame(made, index=range(len(rows)))
    frame.columns = [column.name for column in header]
    return frame


def value_of(column: SqlColumn, cell: Any) -> Any:
    """Return one value, of a parameter; NULL is None.

    Raises:
        ScriptError: The cell is not of the parameter's type.
    """
    return None if cell is None else _converted(column, [cell])[0]


def _frame_of_objects(page: Page) -> DataFrame:
    """Return the table of a page without a header: JSON objects, a row each, as people write them."""
    try:
        rows = json.loads(page.body)
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = [_guess(name, [row.get(name) for row in rows]) for name in names]
    except (ValueError, TypeError, AttributeError) as error:
        raise ScriptError(
            f"The input is no JSON array of objects: {error}. It is {page.body[:200]!r}."
        ) from None
    made = pandas().DataFrame(dict(enumerate(columns)), index=range(len(rows)))
    made.columns = names
    return made


def _guess(name: str, cells: list[Any]) -> Series:
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {bool}:
        return _series(SqlColumn(name, "bit"), cells)
    if kinds == {int} and all(-(2**63) <= cell < 2**63 for cell in cells if cell is not None):
        return _series(SqlColumn(name, "bigint"), cells)
    if kinds and kinds <= {int, float}:
        return _series(SqlColumn(name, "float"), cells)
    return pandas().Series(cells, dtype="object")


def _rows(page: Page, width: int) -> list[Sequence[Any]]:
    try:
        rows = json.loads(page.body)
        if rows and isinstance(rows[0], dict):
            return [[row.get(str(number)) for number in range(width)] for row in rows]
    except (ValueError, AttributeError) as error:
        raise ScriptError(f"Page {page.page} of the data is damaged: {error}.") from None
    if not isinstance(rows, list) or any(len(row) != width for row in rows):
        raise ScriptError(f"Page {page.page} of the data is damaged: its rows have not {width} cells each.")
    return rows


def _series(column: SqlColumn, cells: Sequence[Any]) -> Series:
    has_null = None in cells
    values = _converted(column, cells)
    if column.type in sql.MOMENTS:
        return _moments(column, values)
    dtype: str = "object"
    if column.type in sql.INTEGERS:
        dtype = "float64" if has_null else "int32"
    elif column.type == "bigint":
        dtype = "Int64" if has_null else "int64"
    elif column.type in sql.FLOATS:
        dtype = "float64"
    elif column.type == "bit" and not has_null:
        dtype = "bool"
    return pandas().Series(values, dtype=dtype)


def _converted(column: SqlColumn, cells: Sequence[Any]) -> list[Any]:
    convert: Callable[[Any], Any] = _CONVERT.get(column.type, _text)
    try:
        return [None if cell is None else convert(cell) for cell in cells]
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ScriptError(
            f"The column {column.name!r} has a value that is no {column.type}: {error}."
        ) from None


def _bit(cell: Any) -> bool:
    return cell if isinstance(cell, bool) else bool(int(cell))


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell)


def _moment(cell: str) -> str:
    # SQLite and people write text; it is looked at before numpy makes a number of it.
    dt.datetime.fromisoformat(cell[:_MICROSECONDS])
    return cell


def _offset_moment(cell: str) -> Any:
    moment = pandas().Timestamp(cell)
    return moment if moment.tzinfo else moment.tz_localize("UTC")


_CONVERT: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(sql.INTEGERS | {"bigint"}, int),
    **dict.fromkeys(sql.FLOATS, float),
    **dict.fromkeys(sql.DECIMALS, lambda cell: decimal.Decimal(str(cell))),
    **dict.fromkeys(sql.BINARIES, lambda cell: bytes.fromhex(cell.removeprefix("0x").removeprefix("\\x"))),
    **dict.fromkeys(sql.MOMENTS, _moment),
    "bit": _bit,
    "date": lambda cell: dt.date.fromisoformat(cell[:10]),
    "time": SqlTime.parse,
    "datetimeoffset": _offset_moment,
}


def _moments(column: SqlColumn, texts: list[Any]) -> Series:
    known = [text for text in texts if text is not None]
    unit = "ns"
    if known and not (min(known) >= _FIRST_NS and max(known) < _LAST_NS):
        unit = "us"
        if any(text[_MICROSECONDS:].strip("0") for text in known):
            raise ScriptError(
                f"The column {column.name!r} has times before 1678 or after 2262 and fractions finer than a "
                "microsecond, which pandas cannot hold together. Convert it in the query to datetime2(6)."
            )
    filled = ["NaT" if text is None else text for text in texts]
    return pandas().Series(numpy().array(filled, dtype=f"datetime64[{unit}]"))
