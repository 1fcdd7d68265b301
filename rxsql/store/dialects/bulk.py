"""Many rows in one statement: several at once where rows are cheap, else all of them as three parameters.

SQL Server takes neither arrays nor, at a bearable price, thousands of parameters.
"""

from __future__ import annotations

import json
import re
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROWS_AT_ONCE = 16  # of a grouped statement; few enough that large values among them do not fill the memory
_PARAMETER = re.compile(r":(\w+)")
_MOST_ROWS = 1000  # of one statement
_MOST_LENGTH = 8_000_000  # bytes and characters of one statement, unless one row has more


def packed(rows: Sequence[Mapping[str, Any]], *, counts_units: bool) -> Iterator[dict[str, Any]]:
    """Yield the parameters of the statements that insert rows: `rows`, `bytes` and `texts`.

    `rows` is a JSON array of objects, in which a binary value or a text is its place in `bytes` or `texts`, as
    [start, length] counted from 1, and NULL is left out; `place` is the row's place in the array. Texts do not stand
    in the JSON themselves: its escapes and its lengths are what servers that speak T-SQL differ in.

    Args:
        rows: The rows, all with the same columns.
        counts_units: Whether the server counts a text's UTF-16 units, as SQL Server does under most collations,
            and not its characters.

    Example:
        >>> list(packed([{"run": 7, "body": b"ab", "error": None}], counts_units=True))
        [{'rows': '[{"place": 0, "run": 7, "body": [1, 2]}]', 'bytes': b'ab', 'texts': ''}]
    """
    part = _Part(counts_units=counts_units)
    for row in rows:
        part.add(row)
        if part.is_full:
            yield part.parameters()
            part = _Part(counts_units=counts_units)
    if part.rows:
        yield part.parameters()


class _Part:
    """What one statement inserts."""

    def __init__(self, *, counts_units: bool) -> None:
        self.rows: list[dict[str, Any]] = []
        self._counts_units = counts_units
        self._bytes: list[bytes | memoryview] = []
        self._texts: list[str] = []
        self._bytes_end = self._texts_end = 1

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a row in."""
        entry: dict[str, Any] = {"place": len(self.rows)}
        for name, value in row.items():
            if isinstance(value, str):
                entry[name] = [self._texts_end, self._length(value)]
                self._texts.append(value)
                self._texts_end += entry[name][1]
            elif isinstance(value, (bytes, memoryview)):
                entry[name] = [self._bytes_end, len(value)]
                self._bytes.append(value)
                self._bytes_end += len(value)
            elif value is not None:
                entry[name] = value
        self.rows.append(entry)

    def _length(self, text: str) -> int:
        if text.isascii() or not self._counts_units:
            return len(text)
        return len(text.encode("utf-16-le")) // 2

    @property
    def is_full(self) -> bool:
        """Whether another statement should take the next row."""
        return len(self.rows) >= _MOST_ROWS or self._bytes_end + self._texts_end >= _MOST_LENGTH

    def parameters(self) -> dict[str, Any]:
        """Return the statement's parameters."""
        return {
            "rows": json.dumps(self.rows),
            "bytes": b"".join(self._bytes),
            "texts": "".join(self._texts),
        }


def grouped(statement: str, rows: Sequence[Mapping[str, Any]]) -> tuple[str, Iterator[list[Any]]]:
    """Return a statement that inserts `ROWS_AT_ONCE` rows, and its parameters, for one that inserts a row by names.

    Args:
        statement: INSERT ... VALUES with named parameters.
        rows: The rows; their number is a multiple of `ROWS_AT_ONCE`.

    Example:
        >>> insert, parameters = grouped("INSERT INTO t (a, b) VALUES (:a, :b)", [{"b": 1, "a": 2}] * 16)
        >>> insert[:44]
        'INSERT INTO t (a, b) VALUES (?, ?), (?, ?), '
        >>> next(parameters)[:4]
        [2, 1, 2, 1]
    """
    head, _, row = statement.partition("VALUES")
    names = _PARAMETER.findall(row)
    values = ", ".join([f"({', '.join('?' * len(names))})"] * ROWS_AT_ONCE)
    of_row = itemgetter(*names)
    groups = (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))
    return f"{head}VALUES {values}", (list(chain.from_iterable(map(of_row, group))) for group in groups)
