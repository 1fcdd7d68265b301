"""Compute contexts: where `rx_exec` runs a function, and how it waits."""

from __future__ import annotations

import json
import math
import operator
import os
import re
from typing import TYPE_CHECKING, Any

from rxsql.errors import ArgumentsError
from rxsql.settings import Settings, default_store
from rxsql.storename import is_odbc, redacted

if TYPE_CHECKING:
    from collections.abc import Sequence


class RxComputeContext:
    """Base of all compute contexts.

    Args:
        description: A word for the kind of context.
        version: The context's version.
    """

    def __init__(self, description: str = "local", version: str = "1.0") -> None:
        self.description = description
        self.version = version

    def settings(self) -> dict[str, Any]:
        """Return the context's options by name, as they are printed and compared."""
        return {"description": self.description, "version": self.version}

    def __repr__(self) -> str:
        title = f"{type(self).__name__} Compute Context:"
        shown = {
            name: json.dumps(value) if isinstance(value, str) else value
            for name, value in self.settings().items()
        }
        return "\n".join((title, "-" * len(title), *(f"{name}: {value}" for name, value in shown.items())))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RxComputeContext)
            and type(self) is type(other)
            and self.settings() == other.settings()
        )

    def __hash__(self) -> int:
        return hash((type(self), self.description))


class RxLocalSeq(RxComputeContext):
    """Run in this process, one run after the other; the context when none is set."""

    def __init__(self) -> None:
        super().__init__("local")


class RxLocalParallel(RxComputeContext):
    """Run in several processes on this machine, without a store.

    `RxOptions.set_option("NumCoresToUse", n)` limits how many.
    """

    def __init__(self) -> None:
        super().__init__("localpar")


class RxRemoteComputeContext(RxComputeContext):
    """Base of the contexts that run elsewhere.

    Args:
        description: A word for the kind of context.
        version: The context's version.
        id: An id of the context's own; made up when it is None.
        wait: Whether `rx_exec` waits for the results (True), or returns a job at once.
    """

    def __init__(self, description: str, version: str, id: str | None = None, wait: bool = True) -> None:
        super().__init__(description, version)
        self.id = id if id is not None else os.urandom(8).hex()
        self.wait = flag("wait", wait, default=True)


class RxInSqlServer(RxRemoteComputeContext):
    """Run functions as jobs of a database: SQL Server's, or the store that stands in for it.

    Args:
        connection_string: An ODBC string as revoscalepy has it, a URL such as `sqlite:///jobs.db`, or a path. Where
            the setting `RXSQL_STORE` names a store, that store takes the place of the server of an ODBC string.
        num_tasks: The most child processes at once for one job, over all workers; 0: as many as there are.
        auto_cleanup: Whether a job's results and console lines are removed once its results were fetched.
        console_output: Whether a waiting call shows what the runs print, as they print it. None is False.
        execution_timeout_seconds: Seconds after which a started job is ended as failed; 0 or None: no limit.
        wait: Whether `rx_exec` waits for the results, or returns an `RxRemoteJob` at once.
        packages_to_load: Names of modules that are imported on the worker before the first run.
        job_id: The id of the job that `rx_exec` submits in this context, which then serves one call; None: an id is
            made up for each call.

    Raises:
        ArgumentsError: An option is not of its type, or out of range.

    Differs from revoscalepy: `job_id` is an addition, URLs and paths are accepted, and the time of
    `execution_timeout_seconds` counts from the first run's start and ends the code that runs.

    Source: `RxInSqlServer` of the revoscalepy reference, 9.4.
    """

    def __init__(
        self,
        connection_string: str | os.PathLike[str],
        num_tasks: int = 1,
        auto_cleanup: bool = True,
        console_output: bool | None = None,
        execution_timeout_seconds: int | None = None,
        wait: bool = True,
        packages_to_load: Sequence[str] | None = None,
        *,
        job_id: str | None = None,
    ) -> None:
        super().__init__("sqlserver", "1.0", wait=wait)
        self.connection_string = _store_name(connection_string)
        self.num_tasks = whole_number("num_tasks", 1 if num_tasks is None else num_tasks)
        self.auto_cleanup = flag("auto_cleanup", auto_cleanup, default=True)
        self.console_output = flag("console_output", console_output, default=False)
        limit = 0 if execution_timeout_seconds is None else execution_timeout_seconds
        self.execution_timeout_seconds = whole_number("execution_timeout_seconds", limit)
        self.packages_to_load = _packages(packages_to_load)
        self.job_id = _job_id(job_id)

    def settings(self) -> dict[str, Any]:
        """Return the context's options by name, without passwords."""
        return {
            "connection_string": redacted(self.connection_string),
            "num_tasks": self.num_tasks,
            "execution_timeout_seconds": self.execution_timeout_seconds,
            "wait": self.wait,
            "console_output": self.console_output,
            "auto_cleanup": self.auto_cleanup,
            "packages_to_load": list(self.packages_to_load),
            "description": self.description,
            "version": self.version,
        }

    @property
    def store(self) -> str:
        """The name of the store that this context's jobs go to."""
        if not is_odbc(self.connection_string):
            return self.connection_string
        return Settings.from_environment().store or self.connection_string


def whole_number(name: str, value: Any, *, least: int = 0) -> int:
    """Return an option that is a whole number.

    Raises:
        ArgumentsError: It is none, or too small.
    """
    try:
        number = -math.inf if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -math.inf
    if number < least:
        raise ArgumentsError(f"{name} must be a whole number from {least}, not {value!r}.")
    return int(number)


def flag(name: str, value: Any, *, default: bool) -> bool:
    """Return an option that is True or False; the default where it is None.

    Raises:
        ArgumentsError: It is neither.
    """
    if value is None:
        return default
    if value not in (True, False):
        raise ArgumentsError(f"{name} must be True or False, not {value!r}.")
    return bool(value)


def _store_name(name: str | os.PathLike[str]) -> str:
    found = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(found, str):
        kind = type(name).__name__  # not the value, which may hold a password
        raise ArgumentsError(
            f"connection_string must be an ODBC string, a URL or a path, and is of type {kind}."
        )
    if not found.strip():
        raise ArgumentsError("connection_string must be an ODBC string, a URL or a path, and is empty.")
    return found


def _packages(names: Sequence[str] | None) -> tuple[str, ...]:
    if names is not None and not isinstance(names, (str, list, tuple)):
        raise ArgumentsError(f"packages_to_load must be a list of module names, not {names!r}.")
    found = (names,) if isinstance(names, str) else tuple(names or ())
    for name in found:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise ArgumentsError(f"packages_to_load names modules; {name!r} is not one.")
    return found


def _job_id(job_id: str | None) -> str | None:
    if job_id is not None and (not isinstance(job_id, str) or not re.fullmatch(r"[\w.:-]{1,128}", job_id)):
        raise ArgumentsError(f"job_id is up to 128 letters, digits and . _ : -; {job_id!r} is not.")
    return job_id


# --------------------------------------------------------------------------------------- the current context

_NAMES = {
    "local": RxLocalSeq,
    "rxlocalseq": RxLocalSeq,
    "localpar": RxLocalParallel,
    "rxlocalparallel": RxLocalParallel,
}
_SERVER_NAMES = ("rxinsqlserver", "sqlserver")
_current: list[RxComputeContext] = [RxLocalSeq()]


def resolve(compute_context: Any) -> RxComputeContext:
    """Return a context given as an object, a name, or None for the current one.

    Raises:
        ArgumentsError: The name is unknown, or it is no context.
    """
    if compute_context is None:
        return _current[0]
    if isinstance(compute_context, RxComputeContext):
        return compute_context
    if not isinstance(compute_context, str):
        raise ArgumentsError(
            f"A compute context is an object such as RxInSqlServer(...), or its name; {compute_context!r} is neither."
        )
    name = compute_context.lower()
    if name in _SERVER_NAMES:
        return RxInSqlServer(Settings.from_environment().store or default_store())
    if name not in _NAMES:
        raise ArgumentsError(
            f"There is no compute context {compute_context!r}. The names are RxLocalSeq (local), "
            "RxLocalParallel (localpar) and RxInSqlServer (sqlserver)."
        )
    return _NAMES[name]()


def rx_set_compute_context(compute_context: Any) -> RxComputeContext:
    """Make a context the current one, for calls that name none.

    Args:
        compute_context: A context object, or a name: "RxLocalSeq" ("local"), "RxLocalParallel" ("localpar") or
            "RxInSqlServer" ("sqlserver", on the store of `RXSQL_STORE`, else the default SQLite file).

    Returns:
        The context that was current before.

    Raises:
        ArgumentsError: The name is unknown, or it is no context.

    Source: `rx_set_compute_context` of the revoscalepy reference, 9.4.
    """
    if compute_context is None:
        raise ArgumentsError(
            "A compute context is an object such as RxInSqlServer(...), or its name; None is neither."
        )
    previous = _current[0]
    _current[0] = resolve(compute_context)
    return previous


def rx_get_compute_context() -> RxComputeContext:
    """Return the current compute context; `RxLocalSeq()` unless one was set.

    Source: `rx_get_compute_context` of the revoscalepy reference, 9.4.
    """
    return _current[0]
