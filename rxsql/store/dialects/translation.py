"""Says in the store's errors what goes wrong with a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa

from rxsql.errors import StoreError, StoreRefusedError, StoreUnreachableError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


class Translator(Protocol):
    """Knows a driver's errors, as the store's dialect does."""

    label: str

    def translate(self, error: sa.exc.DBAPIError) -> StoreError:
        """Say a driver's error in rxsql's words."""


class Translation:
    """What the errors of a driver and of SQLAlchemy mean.

    Args:
        engine: Whose driver.
        dialect: The store's, which knows that driver's errors.

    Attributes:
        errors: The errors that have a meaning.
    """

    def __init__(self, engine: Engine, dialect: Translator) -> None:
        self._driver: Any = engine.dialect.loaded_dbapi
        self._dialect = dialect
        # The driver's own come of a connection that was lost just as it was taken, returned, or a transaction's end.
        self.errors: tuple[type[Exception], ...] = (
            sa.exc.DBAPIError,
            sa.exc.ResourceClosedError,
            OverflowError,
            UnicodeError,
            self._driver.Error,
        )

    def meaning(self, error: BaseException) -> StoreError:
        """Return what one of these errors means."""
        if isinstance(error, self._driver.Error):
            error = sa.exc.DBAPIError.instance(None, None, error, self._driver.Error)
        if isinstance(error, sa.exc.DBAPIError):
            return self._dialect.translate(error)
        label = self._dialect.label
        if isinstance(error, sa.exc.ResourceClosedError):  # SQLAlchemy, of a first connection
            return StoreUnreachableError(
                f"The store {label}: the connection was lost while it was made; try again."
            )
        # Drivers, of more than 2 GB, and of half a surrogate pair.
        return StoreRefusedError(f"The store {label} refused a value: {error}")
