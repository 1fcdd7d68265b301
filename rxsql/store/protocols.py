"""What the store asks of a kind of database, besides its SQL files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    import sqlalchemy as sa
    from sqlalchemy.engine import Connection, Engine

    from rxsql.errors import StoreError
    from rxsql.store.dialects.valuefiles import ValueFiles

    Lender = Callable[[], AbstractContextManager[Connection]]


class Wakeup(Protocol):
    """Says early that the store may have changed. A hint: polling stays the contract."""

    def fileno(self, *, knocks_only: bool = False) -> int | None:
        """Return a descriptor that becomes readable on a change, where the platform has one; ask before each wait.

        With `knocks_only`, writes of those who do not tell of their commits need not make it readable.
        """

    def drain(self) -> bool:
        """Make the descriptor unreadable until somebody writes again; whether that took anything."""

    @property
    def look_in(self) -> float | None:
        """Seconds until a look for a change that was hinted at; None where it is time when the descriptor says so."""

    def changed(self) -> bool:
        """Whether somebody else has committed since the last call."""

    def wait(self, seconds: float) -> bool:
        """Wait for a change by somebody else, at most `seconds`; whether there was one."""

    def close(self) -> None:
        """Give everything back."""


class Dialect(Protocol):
    """What differs between databases besides the SQL files."""

    name: str
    embedded: bool
    schema: str | None
    label: str
    url: str
    values: ValueFiles | None

    def engine(self) -> Engine:
        """Return a new engine that begins no transactions by itself."""

    def reader(self, engine: Engine) -> Lender:
        """Return what lends a connection without a transaction."""

    def writer(self, engine: Engine, *, durable: bool, early: bool = False) -> Lender:
        """Return what lends a connection in a short write transaction, which waits for the disk or need not.

        Where it can, this is with `early` after the commit, which others see before.
        """

    def insert_many(
        self, connection: Connection, statement: sa.TextClause, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Insert rows in as few statements as this database can."""

    def notify(self, connection: Connection, statement: sa.TextClause, own: str) -> None:
        """Tell others of a change with this transaction's commit, where that can be, as the sender `own`."""

    def wakeup(self, engine: Engine, own: str) -> Wakeup:
        """Return a new hint for changes by others than the sender `own`."""

    def close(self) -> None:
        """Give back what stands ready to be used again."""

    def translate(self, error: sa.exc.DBAPIError) -> StoreError:
        """Say a driver's error in rxsql's words."""
