"""The settings: one frozen object, read from `RXSQL_…` environment variables."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, fields
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rxsql.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

DAY = 24 * 3600.0
_PREFIX = "RXSQL_"
_PREFIX_BYTES = os.fsencode(_PREFIX)
_LEAST = {"RXSQL_MAX_ATTEMPTS": 1, "RXSQL_LEASE_SECONDS": 0.1}  # for the others 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, each with its default; the variable of `lease_seconds` is `RXSQL_LEASE_SECONDS`.

    Args:
        store: URL or path of the store that stands in for any SQL Server a script names; empty: none set.
        slots: Child processes a worker runs at once; 0: one a processor that it may use.
        retention_seconds: How long a final job's results and console lines wait to be collected.
        tombstone_seconds: How long a purged job's row still says "undetermined".
        lease_seconds: How long a worker may stay silent before its tasks go back to the queue.
        max_attempts: How often a task is tried when its child or worker dies.
        busy_timeout_seconds: How long to wait for somebody else's lock on the store.
        idle_exit_seconds: How long a worker that started by itself stays without work.
        environment: Names of environment variables, comma-separated, that children see besides the usual ones.
        preload: Modules, comma-separated, that are imported once for all children; they must be safe to fork.
        loopback: What `rx_get_sql_loopback_connection_string` gives to scripts; empty: the store's name, if it has no
            password.
        inline_bytes: Inputs up to this size stand in their task's row.
        memory_mb: Memory that a child may take, in MB (2**20 bytes), besides what it maps from files; 0: no limit.
        console_bytes: Console output to keep of a task; of more, the middle is left out. 0: no limit.
        payload_mb: Largest function, input of a task, or result of a run, in MB (2**20 bytes); 0: no limit.
        max_runs: Most runs of a job; 0: no limit.
        signing_keys: Keys as `id:key`, comma-separated; the first one signs, all are believed.
        signing_key_file: A file that only its owner can read, with a line `id key` for each key, instead.
        require_signature: Whether jobs, inputs and results that are not signed are refused.
    """

    store: str = ""
    slots: int = 0
    retention_seconds: float = 7 * DAY
    tombstone_seconds: float = 30 * DAY
    lease_seconds: float = 30.0
    max_attempts: int = 3
    busy_timeout_seconds: float = 30.0
    idle_exit_seconds: float = 60.0
    environment: str = ""
    preload: str = ""
    loopback: str = ""
    inline_bytes: int = 512
    memory_mb: int = 0
    console_bytes: int = 64 * 2**20
    payload_mb: int = 256
    max_runs: int = 1_000_000
    signing_keys: str = field(default="", repr=False)
    signing_key_file: str = ""
    require_signature: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings, in the types of their defaults.

        Raises:
            SettingsError: A variable's text is not of its type, or too small.
        """
        # To ask for a name that is not there costs more than to look through those that are.
        given = _names() if environment is os.environ else {*environment}
        # Set to nothing is not set.
        return _parsed(tuple([environment[name] or None if name in given else None for name in _variables()]))

    @property
    def child_slots(self) -> int:
        """The number of children a worker runs at once, at least 1."""
        return self.slots or _processors()


def _names() -> Collection[str]:
    """Return the names of this process's variables that begin as ours do."""
    if not os.supports_bytes_environ:
        return {name for name in os.environ if name.startswith(_PREFIX)}
    # Without decoding all the others.
    return {os.fsdecode(name) for name in os.environb if name.startswith(_PREFIX_BYTES)}


@cache
def _variables() -> list[str]:
    return [f"{_PREFIX}{setting.name.upper()}" for setting in fields(Settings)]


@lru_cache(maxsize=1)  # each job asks several times, and the answer seldom changes
def _parsed(texts: tuple[str | None, ...]) -> Settings:
    values = {
        setting.name: _parse(variable, text, type(setting.default))
        for setting, variable, text in zip(fields(Settings), _variables(), texts, strict=True)
        if text is not None
    }
    return Settings(**values)  # type: ignore[arg-type]


def _processors() -> int:
    """Return how many processors this process may use: a container or an affinity may leave it fewer than there are."""
    import loky  # noqa: PLC0415 - only a worker needs it

    count: int = loky.cpu_count()
    return count


def _parse(variable: str, text: str, kind: type) -> str | int | float:
    if kind is str:
        return text
    if kind is bool:
        if text not in ("0", "1"):
            raise SettingsError(f"{variable} must be 0 or 1, not {text!r}.")
        return text == "1"
    try:
        value: int | float = kind(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        wanted = "a whole number" if kind is int else "a number"
        raise SettingsError(f"{variable} must be {wanted}, not {text!r}.")
    least = _LEAST.get(variable, 0)
    if value < least:
        raise SettingsError(f"{variable} must be at least {least}, and is {text}.")
    return value


def default_store() -> str:
    """Return the path of the store that needs no set-up: an SQLite file in the user's data folder."""
    import platformdirs  # noqa: PLC0415 - needed only where nobody named a store

    return str(Path(platformdirs.user_data_dir("rxsql", appauthor=False)) / "jobs.db")
