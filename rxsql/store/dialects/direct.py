"""Sends constant statements straight to the driver: through SQLAlchemy, the way there is several times the work.

What is constant (`tables.constant`) is compiled by SQLAlchemy once a store; anything else is sent through it as ever,
over the same connection. A connection is kept for its next use.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import BindTyping

from rxsql.store.tables import CONSTANT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence

    from sqlalchemy.engine import Dialect, Engine

_MOST_KEPT = 5  # connections; those of a rush are closed after it


class Rows:
    """All that a statement gave; as much of SQLAlchemy's result as the store asks for."""

    __slots__ = ("_rows", "inserted_primary_key", "rowcount")

    def __init__(self, rows: list[Any], rowcount: int, last_key: int | None) -> None:
        self._rows = rows
        self.rowcount = rowcount
        self.inserted_primary_key = (last_key,)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        """Return all rows."""
        return self._rows

    def one_or_none(self) -> Any:
        """Return the only row, or None where there is none."""
        if len(self._rows) > 1:
            raise sa.exc.MultipleResultsFound("Multiple rows were found when one or none was required")
        return self._rows[0] if self._rows else None

    def scalar(self) -> Any:
        """Return the first row's first value."""
        return self._rows[0][0] if self._rows else None

    def scalars(self) -> Rows:
        """Return each row's first value."""
        return Rows([row[0] for row in self._rows], self.rowcount, None)

    def mappings(self) -> Rows:
        """Return each row as a dict."""
        return Rows([row._asdict() for row in self._rows], self.rowcount, None)


class Plan:
    """A constant statement as the driver takes it, and what its values go through.

    Args:
        statement: The statement.
        parameters: Some values for it; those that follow are to have the same names.
        dialect: SQLAlchemy's.
        schemas: Where its tables are, as the engine's `schema_translate_map`; None: where they say.
    """

    def __init__(
        self,
        statement: Any,
        parameters: Mapping[str, Any],
        dialect: Dialect,
        schemas: Mapping[str | None, str | None] | None,
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

    def rows(self, cursor: Any) -> list[Any]:
        """Return what the statement gave, in named rows."""
        columns = cursor.description
        if columns is None:
            return []
        kind, names = self._kind, [column[0] for column in columns]
        if kind[0] != names:  # those of a batch of T-SQL may be others each time
            kind = self._kind = (names, _row_class(names)._make)
        found = cursor.fetchall()
        if self._read:
            found = [[*row] for row in found]
            for row in found:
                for number, process in self._read.items():
                    row[number] = process(row[number])
        return [*map(kind[1], found)]


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


class DirectConnection(Connection):
    """A connection of an engine's, kept for long; what is not constant takes SQLAlchemy's way.

    Args:
        engine: Whose connection; it begins no transactions by itself.
        plans: The statements that were sent before, which all connections of a store share.
    """

    planned_for: Dialect

    def __init__(self, engine: Engine, plans: MutableMapping[sa.Executable, Plan]) -> None:
        super().__init__(engine)
        self.raw: Any = self.connection.dbapi_connection
        self._plans = plans
        self._schemas = self.get_execution_options().get("schema_translate_map")
        self._watchers: Any = engine.dispatch
        self.watched = False

    def look_for_watchers(self) -> None:
        """See whether somebody counts what is sent, say; of what goes past SQLAlchemy it does not tell them."""
        events = self._watchers
        self.watched = bool(events.before_cursor_execute or events.begin or events.commit)

    def execute(self, statement: Any, parameters: Any = None, **options: Any) -> Any:
        """Execute a statement: directly where it is constant."""
        plan = self._plans.get(statement)
        if plan is None:
            if not statement.get_execution_options().get(CONSTANT) or isinstance(parameters, list):
                return super().execute(statement, parameters, **options)
            plan = Plan(statement, parameters or {}, self.planned_for, self._schemas)
            self._plans[statement] = plan
        values = plan.values(parameters or {})
        if self.watched:
            self._watchers.before_cursor_execute(self, None, plan.text, values, None, False)
        return self.send_plan(plan, values)

    def send_plan(self, plan: Plan, values: Any) -> Rows:
        """Have the driver execute a statement."""
        raise NotImplementedError

    def settle(self) -> None:
        """Undo what was not committed, and be ready for the next one."""
        raise NotImplementedError

    def is_usable(self) -> bool:
        """Whether it can be used again, as far as that can be told before."""
        return True

    def _tell_of_begin(self) -> None:
        if self.watched:
            self._watchers.begin(self)

    def _tell_of_commit(self) -> None:
        if self.watched:
            self._watchers.commit(self)


_Kept = TypeVar("_Kept", bound=DirectConnection)


class Connections(Generic[_Kept]):
    """The connections of one store that are not in use."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._plans: dict[sa.Executable, Plan] = {}
        self._idle: list[_Kept] = []

    def connect(self) -> _Kept:
        """Return a new connection."""
        raise NotImplementedError

    def take(self) -> _Kept:
        """Take a connection; give it back."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was quicker
                break
            if connection.is_usable():
                return connection
            connection.close()
        return self.connect()

    def give_back(self, connection: _Kept) -> None:
        """Let others have a connection."""
        if len(self._idle) < _MOST_KEPT:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close those that wait for their next use."""
        while self._idle:
            self._idle.pop().close()


class Reading(Generic[_Kept]):
    """Lends a connection; a class, as `contextlib`'s way takes as long as the shortest statement."""

    __slots__ = ("_connection", "_connections")
    _connection: _Kept

    def __init__(self, connections: Connections[_Kept]) -> None:
        self._connections = connections

    def __enter__(self) -> _Kept:
        self._connection = self._connections.take()
        self._connection.look_for_watchers()
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.settle()
        self._connections.give_back(self._connection)
