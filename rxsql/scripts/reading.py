"""From pages to a DataFrame."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rxsql.errors import ScriptError
from rxsql.pages import OUT
from rxsql.scripts import columns as sql
from rxsql.scripts.building import ColumnBuilder, converted, series_of
from rxsql.scripts.columns import SqlColumn
from rxsql.scripts.need import pandas

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pandas import DataFrame, Series

    from rxsql.pages import Page


def frame_of(pages: Iterable[Page]) -> DataFrame:
    """Return a table's pages as one DataFrame, page by page; without a page, one with no columns.

    Raises:
        ScriptError: A cell is not of its column's type, a page is missing, or pandas cannot be imported.
    """
    columns: list[ColumnBuilder] = []
    count = 0
    for number, page in enumerate(pages):
        if not page.header:
            return _frame_of_objects(page)
        if not number:
            columns = [ColumnBuilder(column) for column in sql.parse_header(page.header)]
        if page.page != number:
            raise ScriptError(f"Page {number} of the data is missing.")
        rows = _rows(page, len(columns))
        count += len(rows)
        for builder, cells in zip(columns, zip(*rows, strict=True), strict=False):
            builder.add(cells)
    made = {place: builder.series() for place, builder in enumerate(columns)}
    frame = pandas().DataFrame(made, index=range(count), copy=False)
    frame.columns = [builder.column.name for builder in columns]
    return frame


def value_of(column: SqlColumn, cell: Any) -> Any:
    """Return one value, of a parameter; NULL is None.

    Raises:
        ScriptError: The cell is not of the parameter's type.
    """
    if cell is not None and column.type in sql.MOMENTS:
        return series_of(column, [cell])[0]
    return converted(column, [cell])[0]


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
        return series_of(SqlColumn(name, "bit"), cells)
    if kinds == {int} and all(-(2**63) <= cell < 2**63 for cell in cells if cell is not None):
        return series_of(SqlColumn(name, "bigint"), cells)
    if kinds and kinds <= {int, float}:
        return series_of(SqlColumn(name, "float"), cells)
    return pandas().Series(cells, dtype="object")


def _rows(page: Page, width: int) -> list[Sequence[Any]]:
    try:
        rows = json.loads(page.body)
        if rows and isinstance(rows[0], dict):
            return [[row.get(str(number)) for number in range(width)] for row in rows]
    except (ValueError, AttributeError) as error:
        raise ScriptError(f"Page {page.page} of the data is damaged: {error}.") from None
    if page.direction == OUT:
        width += 1  # the last cell of a row is its number
    if not isinstance(rows, list) or any(len(row) != width for row in rows):
        raise ScriptError(f"Page {page.page} of the data is damaged: its rows have not {width} cells each.")
    return rows
