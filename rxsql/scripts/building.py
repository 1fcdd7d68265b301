"""From cells to columns: each SQL type in the dtype that the original documents, or one that loses nothing."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from typing import TYPE_CHECKING, Any

from rxsql.errors import ScriptError
from rxsql.scripts import columns as sql
from rxsql.scripts.need import numpy, pandas
from rxsql.scripts.sqltime import SqlTime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pandas import Series

    from rxsql.scripts.columns import SqlColumn

_FIRST_NS, _LAST_NS = "1677-09-22", "2262-04-11"  # what 64 bits of nanoseconds hold
_MICROSECONDS = 26  # characters of 2020-01-02T03:04:05.123456
_NUMBERS = {**dict.fromkeys(sql.INTEGERS, "int32"), "bigint": "int64", **dict.fromkeys(sql.FLOATS, "float64")}


class ColumnBuilder:
    """A column that is made a page at a time, so that no more of it than a page is there as Python's objects.

    Args:
        column: Which.
    """

    def __init__(self, column: SqlColumn) -> None:
        self.column = column
        self._parts: list[Any] = []
        self._nulls: list[Any] = []  # for each part of whole numbers, where NULL stands in it
        self._has_null = False

    def add(self, cells: Sequence[Any]) -> None:
        """Put cells behind the others.

        Raises:
            ScriptError: One is not of the column's type.
        """
        null = None in cells
        self._has_null = self._has_null or null
        dtype = _NUMBERS.get(self.column.type)
        if dtype is not None:
            self._add_numbers(cells, dtype, null=null)
        elif self.column.type in sql.MOMENTS:
            self._parts.append(_moments(self.column, converted(self.column, cells)))
        else:
            part = numpy().empty(len(cells), dtype="object")
            part[:] = converted(self.column, cells)
            self._parts.append(part)

    def _add_numbers(self, cells: Sequence[Any], dtype: str, *, null: bool) -> None:
        if dtype == "float64":
            self._parts.append(self._array(cells, dtype))  # in which NULL is NaN
            return
        self._nulls.append(numpy().array([cell is None for cell in cells]) if null else None)
        self._parts.append(
            self._array([0 if cell is None else cell for cell in cells] if null else cells, dtype)
        )

    def _array(self, cells: Sequence[Any], dtype: str) -> Any:
        try:
            return numpy().array(cells, dtype=dtype)
        except (ValueError, TypeError, OverflowError):
            pass
        try:  # what the quick way does not take
            return numpy().array(converted(self.column, cells), dtype=dtype)
        except OverflowError as error:
            raise _misfit(self.column, error) from None

    def series(self) -> Series:
        """Return the column.

        Raises:
            ScriptError: It has moments that no one dtype holds together.
        """
        kind = self.column.type
        if kind in sql.MOMENTS:
            return pandas().Series(self._same_unit())
        whole = numpy().concatenate(self._parts) if self._parts else []
        if kind in _NUMBERS and self._has_null and kind not in sql.FLOATS:
            return self._with_nulls(whole)
        dtype = _NUMBERS.get(kind, "bool" if kind == "bit" and not self._has_null else "object")
        return pandas().Series(whole, dtype=dtype, copy=False)

    def _with_nulls(self, whole: Any) -> Series:
        nulls = [
            numpy().zeros(len(part), dtype="bool") if null is None else null
            for part, null in zip(self._parts, self._nulls, strict=True)
        ]
        mask = numpy().concatenate(nulls)
        if self.column.type == "bigint":
            return pandas().Series(pandas().arrays.IntegerArray(whole, mask))
        floats = whole.astype("float64")
        floats[mask] = numpy().nan
        return pandas().Series(floats)

    def _same_unit(self) -> Any:
        if not self._parts:
            return numpy().array([], dtype="datetime64[ns]")
        if len({part.dtype for part in self._parts}) > 1:
            fine = [
                part.view("int64")[~numpy().isnat(part)] for part in self._parts if part.dtype == "<M8[ns]"
            ]
            if any((part % 1000).any() for part in fine):
                raise _too_far_and_too_fine(self.column)
            self._parts = [part.astype("datetime64[us]") for part in self._parts]
        return numpy().concatenate(self._parts)


def series_of(column: SqlColumn, cells: Sequence[Any]) -> Series:
    """Return a column that is there as a whole.

    Raises:
        ScriptError: A cell is not of its type.
    """
    builder = ColumnBuilder(column)
    builder.add(cells)
    return builder.series()


def converted(column: SqlColumn, cells: Sequence[Any]) -> list[Any]:
    """Return cells as Python's values; NULL is None.

    Raises:
        ScriptError: One is not of the column's type.
    """
    convert: Callable[[Any], Any] = _CONVERT.get(column.type, _text)
    try:
        return [None if cell is None else convert(cell) for cell in cells]
    except (ValueError, TypeError, ArithmeticError) as error:
        raise _misfit(column, error) from None


def _misfit(column: SqlColumn, error: Exception) -> ScriptError:
    return ScriptError(f"The column {column.name!r} has a value that is no {column.type}: {error}.")


def _bit(cell: Any) -> bool:
    return cell if isinstance(cell, bool) else bool(int(cell))


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell)


def _moment(cell: str) -> str:
    # SQLite and people write text; it is looked at before numpy makes a number of it.
    dt.datetime.fromisoformat(cell[:_MICROSECONDS])
    if cell[_MICROSECONDS:].strip("0123456789"):  # such as BC
        raise ValueError(f"Invalid isoformat string: {cell!r}")
    return cell


def _date(cell: str) -> dt.date:
    _moment(cell)  # SQLite's dates may have a time; PostgreSQL's may end with BC
    return dt.date.fromisoformat(cell[:10])


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
    "date": _date,
    "time": SqlTime.parse,
    "datetimeoffset": _offset_moment,
}


def _moments(column: SqlColumn, texts: list[Any]) -> Any:
    known = [text for text in texts if text is not None]
    unit = "ns"
    if known and not (min(known) >= _FIRST_NS and max(known) < _LAST_NS):
        unit = "us"
        if any(text[_MICROSECONDS:].strip("0") for text in known):
            raise _too_far_and_too_fine(column)
    filled = ["NaT" if text is None else text for text in texts]
    return numpy().array(filled, dtype=f"datetime64[{unit}]")


def _too_far_and_too_fine(column: SqlColumn) -> ScriptError:
    return ScriptError(
        f"The column {column.name!r} has times before 1678 or after 2262 and fractions finer than a "
        "microsecond, which pandas cannot hold together. Convert it in the query to datetime2(6)."
    )
