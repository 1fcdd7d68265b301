"""Counts what is sent to a store: statements, and transactions that were committed."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rxsql.store.engine import Store


@dataclass(slots=True)
class Sent:
    """What was sent so far."""

    statements: list[str] = field(default_factory=list)
    transactions: int = 0


@contextmanager
def counted(store: Store) -> Iterator[Sent]:
    """Count what this process sends to a store from here on.

    Many rows sent with one statement are one statement.
    """
    sent = Sent()

    def on_statement(*details: Any) -> None:
        sent.statements.append(details[2])

    def on_commit(_connection: Any) -> None:
        sent.transactions += 1

    listeners = {"before_cursor_execute": on_statement, "commit": on_commit}
    for event, listener in listeners.items():
        sa.event.listen(store.engine, event, listener)
    try:
        yield sent
    finally:
        for event, listener in listeners.items():
            sa.event.remove(store.engine, event, listener)
