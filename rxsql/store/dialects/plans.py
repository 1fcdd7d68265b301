"""Constant statements, compiled once for a driver, and what they give."""

from __future__ import annotations

from collections import namedtuple
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import BindTyping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.engine import Dialect


class Rows(list[Any]):
    """All rows that a statement gave; with as much of SQLAlchemy's result as the store asks for.

    Attributes:
        rowcount: How many rows it has changed.
        last_key: The key of the row it has inserted.
    """

    __slots__ = ("last_key", "rowcount")
    last_key: int | None
    rowcount: int

    @property
    def inserted_primary_key(self) -> tuple[int | None]:
        """The key of the row it has inserted, as a row."""
        return (self.last_key,)

    def all(self) -> list[Any]:
        """Return all rows."""
        return self

    def one_or_none(self) -> Any:
        """Return the only row, or None where there is none."""
        if len(self) > 1:
            raise sa.exc.MultipleResultsFound("Multiple rows were found when one or none was required")
        return self[0] if self else None

    def scalar(self) -> Any:
        """Return the first row's first value."""
        return self[0][0] if self else None

    def scalars(self) -> Rows:
        """Return each row's first value."""
        return Rows(row[0] for row in self)

    def mappings(self) -> Rows:
        """Return each row as a dict."""
        return Rows(row._asdict() for row in self)


class Plan:
    """A constant statement as the driver takes it, and what its values go through.

    Args:
        statement: The statement.
        parameters: Some values for it; those that follow are to have the same names.
        dialect: SQLAlchemy's.
        schemas: Where its tables are, as the engine's `schema_translate_map`; None: where they say.
        has_fixed_columns: Whether as many columns are the same ones.
    """

    def __init__(
        self,
        statement: Any,
        parameters: Mapping[str, Any],
        dialect: Dialect,
        schemas: Mapping[str | None, str | None] | None,
        *,
        has_fixed_columns: bool,
    ) -> None:
        compiled = statement.compile(
            dialect=dialect,
            column_keys=list(parameters),
            schema_translate_map=schemas,
            render_schema_translate=schemas is not None,
        )
        self.text = str(compiled)
        types = {name: bind.type for bind, name in compiled.bind_names.items()}
        self._given = parameters.keys()
        self._order = compiled.positiontup  # None where the driver takes parameters by name
        self._defaults = {name: value for name, value in compiled.params.items() if name not in parameters}
        self._sent = _processors(types, dialect, lambda kind: kind.bind_processor(dialect))
        columns = {number: column.type for number, column in enumerate(compiled._result_columns)}  # noqa: SLF001
        self._read = _processors(columns, dialect, lambda kind: kind.result_processor(dialect, None))
        self._has_fixed_columns = has_fixed_columns
        # The names of the columns that came last, and what makes a row of them; together, as threads share a plan.
        self._kind: tuple[list[str], Callable[[Sequence[Any]], Any]] = ([], tuple)
        self.sizes = self._sizes(types, dialect)

    def _sizes(self, types: Mapping[str, Any], dialect: Dialect) -> list[Any]:
        """Return the driver's type of each parameter, where it wants to be told; none where it knows by itself."""
        if self._order is None or dialect.bind_typing is not BindTyping.SETINPUTSIZES:
            return []
        kinds = [
            types[name].dialect_impl(dialect).get_dbapi_type(dialect.loaded_dbapi) for name in self._order
        ]
        sizes = [kind if isinstance(kind, tuple) else (kind, None, None) for kind in kinds]
        return sizes if any(kinds) else []

    def values(self, parameters: Mapping[str, Any]) -> Any:
        """Return the parameters as the driver takes them."""
        if parameters.keys() != self._given:
            raise sa.exc.ArgumentError(f"Not the parameters of this statement: {sorted(parameters)}")
        values = parameters
        if self._defaults or self._sent:
            values = {**self._defaults, **parameters}
            for name, process in self._sent.items():
                values[name] = process(values[name])
        return values if self._order is None else [values[name] for name in self._order]

    def rows(self, cursor: Any) -> Rows:
        """Return what the statement gave, in named rows."""
        columns = cursor.description
        if columns is None:
            return Rows()
        names, row_of = self._kind
        if not self._has_fixed_columns or len(columns) != len(names):
            row_of = self._named(columns)
        found = cursor.fetchall()
        if self._read:
            found = [[*row] for row in found]
            for row in found:
                for number, process in self._read.items():
                    row[number] = process(row[number])
        return Rows(map(row_of, found))

    def _named(self, columns: Sequence[Sequence[Any]]) -> Callable[[Sequence[Any]], Any]:
        """Return what makes a row of these columns."""
        kind, names = self._kind, [column[0] for column in columns]
        if kind[0] != names:
            # Past the class's own way to make one, which is Python.
            kind = self._kind = (names, partial(tuple.__new__, _row_class(names)))
        return kind[1]


def _row_class(names: Sequence[str]) -> Any:
    return namedtuple("Row", names, rename=True)  # noqa: PYI024


def _processors(
    types: Mapping[Any, Any], dialect: Dialect, find: Callable[[Any], Any]
) -> dict[Any, Callable[[Any], Any]]:
    """Return what changes values of these types on their way, where anything does; bytes go as they are."""
    found = {
        key: find(kind.dialect_impl(dialect))
        for key, kind in types.items()
        if not isinstance(kind, sa.LargeBinary)
    }
    return {key: process for key, process in found.items() if process is not None}
