"""Inputs and results that stand in a table of their own: their rows, read as the pages that all travel in."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.errors import PayloadError, StoreUnreachableError
from rxsql.pages import IN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection

    from rxsql.pages import Page
    from rxsql.store.engine import Store


def with_bodies(
    connection: Connection,
    store: Store,
    bounds: Mapping[str, int | str],
    pages: Sequence[tuple[int, Page]],
) -> list[tuple[int, Page]]:
    """Return pages, each with its task, with the rows that the job's own table has for those without a body.

    Where rows are missing, as the table is gone or was changed by hand, a page stays without a body.

    Args:
        connection: Where to read.
        store: The store.
        bounds: The job's key, the direction, and the first and the last of the pages.
        pages: The pages, in their order.

    Raises:
        PayloadError: The table has other columns than it was made with.
    """
    if all(page.body for _, page in pages):
        return list(pages)
    try:
        found = connection.execute(store.sql("read_table"), dict(bounds)).all()
    except sa.exc.DBAPIError as error:
        said = store.dialect.translate(error)
        if isinstance(said, StoreUnreachableError):
            raise
        what = "input" if bounds["direction"] == IN else "result"
        raise PayloadError(f"The script's {what} cannot be read any more. {said}") from error
    rows = {
        key: [tuple(row[2:]) for row in part] for key, part in groupby(found, lambda row: (row[0], row[1]))
    }
    return [(task, _filled(page, rows.get((task, page.page), []))) for task, page in pages]


def _filled(page: Page, rows: Sequence[tuple[Any, ...]]) -> Page:
    if page.body or len(rows) != page.row_count:
        return page
    return replace(page, body=json.dumps(rows, ensure_ascii=False, separators=(",", ":"), default=_cell))


def _cell(value: Any) -> str:
    """Return a driver's value that JSON does not know as a page has it."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return value.hex()
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value)
