"""Published functions: what callers of SQL may run by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rxsql.kinds import PublishedFunction
from rxsql.store import storedfunctions
from rxsql.store.retry import retried
from rxsql.store.scripttables import published

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rxsql.store.engine import Store

_BY_NAME = published.c.name == sa.bindparam("known")


@retried
def publish(store: Store, function: bytes, row: Mapping[str, Any]) -> bool:
    """Make a function callable by a name; return whether the name was another's before, which is replaced.

    Jobs that were submitted before keep the function they were submitted with.

    Args:
        store: Where.
        function: The function's payload.
        row: What `published` says of it, but for the hash.
    """
    name = row["name"]
    with store.write() as connection:
        function_hash = storedfunctions.add(connection, store, function)
        old = connection.scalar(sa.select(published.c.function_hash).where(_BY_NAME), {"known": name})
        if old is not None:
            connection.execute(sa.delete(published).where(_BY_NAME), {"known": name})
        connection.execute(sa.insert(published), {**row, "function_hash": function_hash})
        if old not in (None, function_hash):
            storedfunctions.drop_unused(connection, store, old)
    return old is not None


@retried
def unpublish(store: Store, name: str) -> bool:
    """Take a name away; return whether it was there. Jobs that were submitted before still run."""
    with store.write() as connection:
        found = connection.scalar(sa.select(published.c.function_hash).where(_BY_NAME), {"known": name})
        connection.execute(sa.delete(published).where(_BY_NAME), {"known": name})
        if found is not None:
            storedfunctions.drop_unused(connection, store, found)
    return found is not None


@retried
def list_published(store: Store) -> list[PublishedFunction]:
    """Return what is published, by name."""
    with store.read() as connection:
        rows = connection.execute(sa.select(published).order_by(published.c.name)).mappings()
        return [PublishedFunction(**row) for row in rows]
