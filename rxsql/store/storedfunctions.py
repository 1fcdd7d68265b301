"""Functions as the store keeps them: each once, by the hash of its bytes, while a job or a name needs it.

That of the job which a process has collected last is left there for a while: in a loop the next one has it, too.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import sqlalchemy as sa

from rxsql.store.scripttables import published
from rxsql.store.tables import constant, functions, jobs

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from rxsql.store.engine import Store

_IS_UNUSED = (
    ~sa.exists().where(jobs.c.function_hash == functions.c.function_hash, jobs.c.purged_at.is_(None)),
    ~sa.exists().where(published.c.function_hash == functions.c.function_hash),
)
_UNUSED = (
    sa.select(functions.c.function_hash)
    .where(*_IS_UNUSED)
    .order_by(functions.c.function_hash)
    .limit(sa.bindparam("most"))
)
_DROP = constant(
    sa.delete(functions).where(functions.c.function_hash == sa.bindparam("function_hash"), *_IS_UNUSED)
)


def hash_of(function: bytes) -> str:
    """Return the name by which jobs know a function."""
    return hashlib.sha256(function).hexdigest()


def add(connection: Connection, store: Store, function: bytes) -> str:
    """Have a function in the store, where nobody removes it before this transaction's end; return its hash."""
    function_hash = hash_of(function)
    connection.execute(store.sql("add_function"), {"function_hash": function_hash, "body": function})
    return function_hash


def drop_unused(connection: Connection, store: Store, function_hash: str) -> None:
    """Remove a function that nothing needs, unless somebody is just submitting or removing a job that has it.

    What is left because of that goes with the next one who needed it, or with `sweep`.
    """
    # First the lock, then the look in a statement of its own: it sees what was committed before.
    row = {"function_hash": function_hash}
    is_alone = store.dialect.embedded or connection.execute(store.sql("lock_function"), row).one_or_none()
    if is_alone:
        connection.execute(_DROP, row)


def leave(connection: Connection, store: Store, function_hash: str) -> None:
    """Leave the function of a job that was collected: the next one is likely to have it, too.

    The one that this process left before goes, where it is another; the last is left to `sweep`.
    """
    previous, store.left_function = store.left_function, function_hash
    if previous not in ("", function_hash):
        drop_unused(connection, store, previous)


def sweep(store: Store, *, most: int = 100) -> None:
    """Remove functions that nothing needs, and that were left, at most so many at once."""
    with store.read() as connection:
        left = list(connection.execute(_UNUSED, {"most": most}).scalars())
    for function_hash in left:
        with store.write(durable=False) as connection:
            drop_unused(connection, store, function_hash)
