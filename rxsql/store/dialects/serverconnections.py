"""The connections of a server store, and how they read and write."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.store.dialects.direct import Connections, DirectConnection, Reading

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from rxsql.store.dialects.plans import Plan, Rows
    from rxsql.store.dialects.translation import Translator

# Since its last use: for so long a connection need not be asked whether it lives; after so long, what stands between
# may have dropped it silently, and asking could take minutes.
_TRUSTED_SECONDS, _KEPT_SECONDS = 0.5, 1500.0


class ServerConnection(DirectConnection):
    """A connection to a server, in autocommit but for the transactions that are begun here.

    Attributes:
        is_lost: Whether it must not be used again.
    """

    undo = "ROLLBACK"

    def __init__(self, engine: Engine, plans: dict[sa.Executable, Plan]) -> None:
        super().__init__(engine, plans)
        self.planned_for = engine.dialect
        self._drivers_error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._is_in_transaction = False
        self._used_at = time.monotonic()
        self.is_lost = False

    def send_plan(self, plan: Plan, values: Any) -> Rows:
        """Have the server execute a statement."""
        try:
            rows = self.ask(plan, values)
        except BaseException as error:
            raise self._wrapped(plan.text, error) from error
        rows.last_key = rows[0][0] if rows else None
        return rows

    def ask(self, plan: Plan, values: Any) -> Rows:
        """Have the driver send a statement; return its rows, which know how many it has changed."""
        raise NotImplementedError

    def send(self, text: str) -> None:
        """Have the server execute what begins or ends something."""
        try:
            self.say(text)
        except BaseException as error:
            raise self._wrapped(text, error) from error

    def say(self, text: str) -> None:
        """Have the driver send a text that is not worth preparing."""
        raise NotImplementedError

    def _wrapped(self, text: str, error: BaseException) -> BaseException:
        """Return a driver's error as SQLAlchemy has it; raise any other again."""
        if not isinstance(error, self._drivers_error):
            # Interrupted, say: the answer is still to come, and would be taken for the next one's.
            self.is_lost = True
            raise error
        found: Any = error
        self.is_lost = self.planned_for.is_disconnect(found, self.raw, None)
        return sa.exc.DBAPIError.instance(
            text, None, error, self._drivers_error, connection_invalidated=self.is_lost
        )

    def begin_with(self, text: str) -> None:
        """Begin a transaction."""
        self._is_in_transaction = True
        self.send(text)
        self._tell_of_begin()

    def make_last(self) -> None:
        """Commit that transaction."""
        self._tell_of_commit()
        self.send("COMMIT")
        self._is_in_transaction = False

    def settle(self) -> None:
        """Undo what was not committed, and be ready for the next one."""
        self._used_at = time.monotonic()
        self.is_lost = self.is_lost or self.invalidated  # which SQLAlchemy has found out
        try:
            if self._is_in_transaction and not self.is_lost:
                self.send(self.undo)
        except sa.exc.DBAPIError:  # what it was undone for says more
            self.is_lost = True
        self._is_in_transaction = False
        # As SQLAlchemy sees it, after a statement that took its way.
        if self.in_transaction() and not self.is_lost:
            self.rollback()

    def is_usable(self) -> bool:
        """Whether it lives: one that was in use a moment ago need not be asked, one that rests for long is not."""
        rested = time.monotonic() - self._used_at
        if rested <= _TRUSTED_SECONDS:
            return True
        try:
            if rested <= _KEPT_SECONDS:
                self.send("SELECT 1")
                return True
        except sa.exc.DBAPIError:
            pass
        self.is_lost = True
        return False

    def close(self) -> None:
        """End it, or forget it when it was lost."""
        if self.is_lost and not self.invalidated:
            self.invalidate()
        super().close()


class ServerConnections(Connections[ServerConnection]):
    """The connections of one server store that are not in use.

    Args:
        engine: Whose connections; in autocommit, and without a pool.
        dialect: The store's.
        kind: The driver's class of them.
    """

    def __init__(self, engine: Engine, dialect: Translator, kind: type[ServerConnection]) -> None:
        super().__init__(engine, dialect)
        self._kind = kind

    def connect(self) -> ServerConnection:
        """Return a new connection."""
        return self._kind(self._engine, self._plans)

    def give_back(self, connection: ServerConnection) -> None:
        """Let others have a connection; where it was lost, the others are likely to be, too."""
        if connection.is_lost:
            connection.close()
            self.close()
        else:
            super().give_back(connection)

    def read(self) -> Reading[ServerConnection]:
        """Lend a connection without a transaction."""
        return Reading(self)

    def write(self, begin: str) -> Writing:
        """Lend a connection in a write transaction that this statement begins, and commit it."""
        return Writing(self, begin)


class Writing(Reading[ServerConnection]):
    """Lends a connection in a write transaction, which is committed where nothing is raised."""

    __slots__ = ("_begin_with",)

    def __init__(self, connections: ServerConnections, begin: str) -> None:
        super().__init__(connections)
        self._begin_with = begin

    def _begin(self) -> ServerConnection:
        connection = super()._begin()
        try:
            connection.begin_with(self._begin_with)
        except BaseException:
            super()._end(is_whole=False)
            raise
        return connection

    def _end(self, *, is_whole: bool) -> None:
        try:
            if is_whole:
                self._connection.make_last()
        finally:
            super()._end(is_whole=is_whole)
