"""Installs the schema under a lock and tells its version; the only module that changes a schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from rxsql.errors import SchemaVersionError
from rxsql.store import sqlfiles
from rxsql.store.tables import SCHEMA_VERSION, schema_version

if TYPE_CHECKING:
    from rxsql.store.engine import Store


def installed_version(store: Store) -> int:
    """Return the schema's version in this store, 0 when there is none."""
    with store.read() as connection:
        return _version(connection, store)


def install(store: Store) -> int:
    """Install the schema, or do nothing where it is current; return its version.

    Raises:
        SchemaVersionError: The store has a schema of another version; nothing was changed.
    """
    with store.write() as connection:
        connection.execute(store.sql("lock_schema"))
        found = _version(connection, store)
        if found not in (0, SCHEMA_VERSION):
            raise SchemaVersionError(store.label, found, SCHEMA_VERSION)
        bare = connection.execution_options(no_parameters=True)  # a % in a script is no placeholder
        for statement in sqlfiles.statements(sqlfiles.script(store.dialect.name)):
            bare.exec_driver_sql(statement)
    store.close()  # the script's SET options end with its connection
    return SCHEMA_VERSION


def _version(connection: sa.Connection, store: Store) -> int:
    if not sa.inspect(connection).has_table(schema_version.name, schema=store.dialect.schema):
        return 0
    return connection.scalar(sa.select(sa.func.max(schema_version.c.version))) or 0
