"""The way back from a script to the database that it was submitted in."""

from __future__ import annotations

from rxsql.errors import ScriptError

_known: list[str] = []


def set_loopback(connection_string: str | None) -> None:
    """Say what `rx_get_sql_loopback_connection_string` returns in this process."""
    _known[:] = [connection_string] if connection_string else []


def rx_get_sql_loopback_connection_string() -> str:
    """Return the connection string of the database that a script runs for; to be called inside a script.

    It is what the worker's setting `RXSQL_LOOPBACK` says. Without that it is the store's own name, unless a password
    stands in it: a script must not get the worker's.

    Raises:
        ScriptError: The worker has none to give, or this is no script.

    Differs from revoscalepy: for SQLite and PostgreSQL it is a URL.

    Source: `rx_get_sql_loopback_connection_string` of the revoscalepy reference, 9.4.
    """
    if not _known:
        raise ScriptError(
            "There is no loopback connection here. It is for scripts and published functions that a worker runs; where "
            "the worker's own connection string has a password, set RXSQL_LOOPBACK there to the connection string of a "
            "login made for scripts."
        )
    return _known[0]
