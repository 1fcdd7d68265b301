"""Sends constant statements straight to the driver: through SQLAlchemy, the way there is several times the work.

What is constant (`tables.constant`) is compiled by SQLAlchemy once a store; anything else is sent through it as ever,
over the same connection. A connection is kept for its next use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy.engine import Connection

from rxsql.store.dialects.plans import Plan
from rxsql.store.dialects.translation import Translation
from rxsql.store.tables import CONSTANT

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from types import TracebackType

    import sqlalchemy as sa
    from sqlalchemy.engine import Dialect, Engine

    from rxsql.store.dialects.plans import Rows
    from rxsql.store.dialects.translation import Translator

_MOST_KEPT = 5  # connections; those of a rush are closed after it


class DirectConnection(Connection):
    """A connection of an engine's, kept for long; what is not constant takes SQLAlchemy's way.

    Args:
        engine: Whose connection; it begins no transactions by itself.
        plans: The statements that were sent before, which all connections of a store share.

    Attributes:
        has_fixed_columns: Whether as many columns of a statement are the same ones each time.
    """

    planned_for: Dialect
    has_fixed_columns = True

    def __init__(self, engine: Engine, plans: MutableMapping[sa.Executable, Plan]) -> None:
        super().__init__(engine)
        self.raw: Any = self.connection.dbapi_connection
        self._plans = plans
        self._schemas = self.get_execution_options().get("schema_translate_map")

    @property
    def watchers(self) -> Any:
        """Whom to tell what is sent; None where nobody counts it, say. What goes past SQLAlchemy it tells nobody."""
        return self.engine.dispatch if self.engine._has_events else None  # noqa: SLF001 - as its own connections ask

    def execute(self, statement: Any, parameters: Any = None, **options: Any) -> Any:
        """Execute a statement: directly where it is constant."""
        plan = self._plans.get(statement)
        if plan is None:
            if not statement.get_execution_options().get(CONSTANT) or isinstance(parameters, list):
                return super().execute(statement, parameters, **options)
            plan = Plan(
                statement,
                parameters or {},
                self.planned_for,
                self._schemas,
                has_fixed_columns=self.has_fixed_columns,
            )
            self._plans[statement] = plan
        values = plan.values(parameters or {})
        if (watchers := self.watchers) is not None:
            watchers.before_cursor_execute(self, None, plan.text, values, None, False)
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
        if (watchers := self.watchers) is not None:
            watchers.begin(self)

    def _tell_of_commit(self) -> None:
        if (watchers := self.watchers) is not None:
            watchers.commit(self)


_Kept = TypeVar("_Kept", bound=DirectConnection)


class Connections(Generic[_Kept]):
    """The connections of one store that are not in use.

    Args:
        engine: Whose connections.
        dialect: The store's.

    Attributes:
        translation: What goes wrong with them in the store's words.
    """

    def __init__(self, engine: Engine, dialect: Translator) -> None:
        self._engine = engine
        self.translation = Translation(engine, dialect)
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
    """Lends a connection, and says in the store's errors what goes wrong with it.

    A class, as `contextlib`'s way takes as long as the shortest statement.
    """

    __slots__ = ("_connection", "_connections", "_translation")
    _connection: _Kept

    def __init__(self, connections: Connections[_Kept]) -> None:
        self._connections = connections
        self._translation = connections.translation

    def __enter__(self) -> _Kept:
        try:
            return self._begin()
        except self._translation.errors as error:
            raise self._translation.meaning(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end(is_whole=error is None)
        except self._translation.errors as other:
            raise self._translation.meaning(other) from other
        if error is not None and isinstance(error, self._translation.errors):
            raise self._translation.meaning(error) from error

    def _begin(self) -> _Kept:
        connection = self._connection = self._connections.take()
        return connection

    def _end(self, *, is_whole: bool) -> None:  # noqa: ARG002 - what was read needs no end
        self._connection.settle()
        self._connections.give_back(self._connection)
