"""From a DataFrame to pages: each column gets the SQL type that holds its values, and NaN becomes NULL."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rxsql.errors import ScriptError
from rxsql.pages import OUT, Page
from rxsql.scripts.columns import MAX, SqlColumn, dump_header
from rxsql.scripts.need import numpy, pandas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pandas import DataFrame, Series

PAGE_ROWS = 10_000
PAGE_CELLS = 100_000
PAGE_CHARACTERS = 4_000_000
_MOST_DIGITS = 38  # of SQL Server's decimal
_BIGGEST = 2**63
_INTEGER_TYPES = {
    **dict.fromkeys(("int8", "int16"), "smallint"),
    **dict.fromkeys(("int32", "uint16"), "int"),
    **dict.fromkeys(("int64", "uint32"), "bigint"),
    "uint8": "tinyint",
}


def pages_of(frame: DataFrame, direction: str) -> Iterator[Page]:
    """Yield a DataFrame's columns, without its index, as pages.

    Raises:
        ScriptError: A column's values have no SQL type, or several.
    """
    columns = [_column(str(name), frame.iloc[:, place]) for place, name in enumerate(_names(frame))]
    header = dump_header([column.sql for column in columns])
    step = max(1, min(PAGE_ROWS, PAGE_CELLS // max(1, len(columns))))
    first = number = 0
    while first < len(frame) or not number:
        numbers = range(first, min(first + step, len(frame)))
        rows = _rows(columns, numbers, are_numbered=direction == OUT)
        body = _json(rows)
        if len(body) > PAGE_CHARACTERS and len(rows) > 1:  # wide ones: fewer at once
            step = max(1, len(rows) // 2)
            continue
        yield Page(direction, number, len(rows), header, body)
        first, number = first + len(rows), number + 1


def _rows(columns: Sequence[_Column], numbers: range, *, are_numbered: bool) -> list[tuple[Any, ...]]:
    cells = [column.cells(column.series.iloc[numbers.start : numbers.stop]) for column in columns]
    if are_numbered:
        return list(zip(*cells, numbers, strict=True))
    return list(zip(*cells, strict=True)) if cells else [()] * len(numbers)


def page_of_values(values: Sequence[tuple[SqlColumn, Any]], direction: str) -> Page:
    """Return single values, each of its own type, as a page of one row."""
    header = dump_header([column for column, _ in values])
    return Page(direction, 0, 1, header, _json([[cell for _, cell in values]]))


def cell_of(value: Any) -> tuple[SqlColumn, Any]:
    """Return a value's column, without a name, and its cell.

    Raises:
        ScriptError: It has no SQL type.
    """
    column, encode = _of_objects("", [value])
    return column, _cells([value], encode)[0]


def _json(rows: Any) -> str:
    return json.dumps(rows, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _names(frame: DataFrame) -> list[Any]:
    return ["" if name is None else name for name in frame.columns]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column and what makes cells of a part of it."""

    sql: SqlColumn
    series: Series
    cells: Callable[[Series], list[Any]]


def _column(name: str, series: Series) -> _Column:
    dtype = series.dtype
    if isinstance(dtype, pandas().CategoricalDtype):
        return _column(name, series.astype(dtype.categories.dtype))
    word = str(dtype).lower()
    if word in ("bool", "boolean"):
        return _Column(SqlColumn(name, "bit"), series, _plain)
    if word in _INTEGER_TYPES:
        return _Column(SqlColumn(name, _INTEGER_TYPES[word]), series, _plain)
    if word in ("float16", "float32", "float64"):
        return _Column(SqlColumn(name, "float" if word == "float64" else "real"), series, _floats)
    if getattr(dtype, "kind", "") == "M" and getattr(dtype, "tz", None) is None:
        return _Column(SqlColumn(name, "datetime2", 7), series, _moments)
    column, encode = _of_objects(name, series)
    return _Column(column, series, lambda part: _cells(part, encode))


def _plain(series: Series) -> list[Any]:
    if series.isna().any():
        return [None if value is pandas().NA else value for value in series.tolist()]
    return list(series.tolist())


def _floats(series: Series) -> list[Any]:
    values = series.to_numpy(dtype="float64", na_value=math.nan)
    if numpy().isfinite(values).all():
        return list(values.tolist())
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _moments(series: Series) -> list[Any]:
    values = series.to_numpy()
    texts = numpy().datetime_as_string(values, unit="ns" if values.dtype.str.endswith("[ns]") else "us")
    return [None if text == "NaT" else text[:27] for text in texts.tolist()]


# ------------------------------------------------------------------------------------------ values of any kind


def _cells(values: Iterable[Any], encode: Callable[[Any], Any]) -> list[Any]:
    return [None if value is None else encode(value) for value in map(_clean, values)]


def _of_objects(name: str, values: Iterable[Any]) -> tuple[SqlColumn, Callable[[Any], Any]]:
    """Return the column of values of any kind, and what makes a cell of one; they are gone through several times."""
    kinds = set(map(_kind, map(_clean, values))) - {type(None)} or {str}
    if kinds <= {int, float} and len(kinds) > 1:
        kinds = {float}
    if kinds <= {int, decimal.Decimal} and len(kinds) > 1:
        kinds = {decimal.Decimal}
    if len(kinds) > 1:
        found = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise ScriptError(
            f"The column {name!r} has values of different types ({found}), and a column of a table has one. "
            "Convert it, for example with .astype(str)."
        )
    (kind,) = kinds
    make = _MAKERS.get(kind)
    if make is None:
        raise ScriptError(
            f"The column {name!r} has a value of the type {kind.__name__}, which has no SQL type. Convert it, for "
            "example with .astype(str)."
        )
    return make(name, (value for value in map(_clean, values) if value is not None))


def _clean(value: Any) -> Any:
    """Return a value as Python has it; None for all that means there is none."""
    if value is None or value is pandas().NA or value is pandas().NaT:
        return None
    if hasattr(value, "dtype") and hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = pandas().Timestamp(value) if value.dtype.kind == "M" else value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, decimal.Decimal) and not value.is_finite():
        return None
    return value


def _kind(value: Any) -> type:
    for kind in _ORDER:
        if isinstance(value, kind):
            return kind
    return type(value)


_ORDER: tuple[type, ...] = (
    *(bool, int, float, decimal.Decimal, str, dt.datetime, dt.date, dt.time),
    *(bytes, uuid.UUID),
)
_Made = tuple[SqlColumn, "Callable[[Any], Any]"]


def _of_bytes(name: str, values: Iterable[Any]) -> _Made:
    del values
    return SqlColumn(name, "varbinary", MAX), lambda value: bytes(value).hex()


def _of_integers(name: str, values: Iterable[int]) -> _Made:
    least = most = 0
    for value in values:
        least, most = min(least, value), max(most, value)
    if least >= -_BIGGEST and most < _BIGGEST:
        return SqlColumn(name, "bigint"), int
    return _of_decimals(name, [decimal.Decimal(least), decimal.Decimal(most)])


def _of_decimals(name: str, values: Iterable[decimal.Decimal]) -> _Made:
    whole = scale = 0
    for value in values:
        exponent = int(value.as_tuple().exponent)
        digits = len(value.as_tuple().digits) + max(exponent, 0)
        scale = max(scale, -exponent)
        whole = max(whole, digits + min(exponent, 0))
    if whole + scale > _MOST_DIGITS:
        raise ScriptError(
            f"The column {name!r} needs {whole + scale} digits, and decimal has {_MOST_DIGITS}. Round it, or convert "
            "it to text."
        )
    return SqlColumn(
        name, "decimal", max(1, whole + scale), scale
    ), lambda value: f"{decimal.Decimal(value):f}"


def _of_datetimes(name: str, values: Iterable[dt.datetime]) -> _Made:
    zones = {value.tzinfo is None for value in values}
    if len(zones) > 1:
        raise ScriptError(
            f"The column {name!r} has times with and without a time zone. Give all of them one."
        )
    return SqlColumn(name, "datetime2" if zones == {True} else "datetimeoffset", 7), _iso


def _iso(value: dt.datetime) -> str:
    """Return a moment with seven digits, and its offset where it has one."""
    digit = getattr(value, "nanosecond", 0) // 100
    plain = f"{value:%H:%M:%S}.{value.microsecond:06}{digit}"
    text = f"{value.year:04}-{value.month:02}-{value.day:02}T{plain}"
    offset = value.utcoffset()
    if offset is None:
        return text
    minutes = round(offset.total_seconds() / 60)
    return f"{text}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


_MAKERS: dict[type, Callable[[str, Any], _Made]] = {
    bool: lambda name, _: (SqlColumn(name, "bit"), bool),
    int: _of_integers,
    float: lambda name, _: (SqlColumn(name, "float"), float),
    decimal.Decimal: _of_decimals,
    str: lambda name, _: (SqlColumn(name, "nvarchar", MAX), str),
    bytes: _of_bytes,
    uuid.UUID: lambda name, _: (SqlColumn(name, "uniqueidentifier"), str),
    dt.datetime: _of_datetimes,
    dt.date: lambda name, _: (SqlColumn(name, "date"), lambda value: value.isoformat()),
    dt.time: lambda name, _: (
        SqlColumn(name, "time", 7),
        lambda value: (value.replace(tzinfo=None) if value.tzinfo else value).isoformat(),
    ),
}
