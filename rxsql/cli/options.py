"""What commands have in common: options, arguments, the store they name, and the end of their help."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rxsql.settings import Settings, default_store

if TYPE_CHECKING:
    from rxsql.store.engine import Store

StoreName = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="STORE",
        help="Path or URL of the store. Default: RXSQL_STORE, else an SQLite file in your data folder.",
        show_default=False,
    ),
]
NewStoreName = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="STORE",
        help="Path or URL of the store. Default: an SQLite file in a new temporary folder.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; times are ISO 8601 in UTC.")]
JobId = Annotated[
    str, typer.Argument(metavar="ID", help="A job's id, as `rxsql jobs` lists it.", show_default=False)
]
JobIds = Annotated[
    list[str],
    typer.Argument(metavar="ID", help="Ids of jobs, as `rxsql jobs` lists them.", show_default=False),
]

USUAL_CODES = {0: "done", 1: "an error", 2: "wrong usage"}
END_CODES = {
    0: "the job finished",
    1: "it failed, or an error",
    2: "wrong usage",
    3: "it was canceled",
    4: "there is no such job, or it was removed",
}
JOB_CODES = END_CODES | {5: "it is queued or running"}


def epilog(*examples: str, codes: Mapping[int, str] = USUAL_CODES, also: str = "") -> str:
    """Return the end of a command's help: its examples and exit codes, kept line by line."""
    lines = [f"  {example}" for example in examples]
    ends = [f"  {code}  {meaning}" for code, meaning in codes.items()] + ([f"  {also}"] if also else [])
    return "\n".join(("\b\nExamples:", *lines, "\n\b\nExit codes:", *ends))


def use_store(name: str | None) -> str:
    """Make a store this process's own, as if `RXSQL_STORE` had named it; return its name."""
    chosen = name or Settings.from_environment().store or default_store()
    if "://" not in chosen and "=" not in chosen:
        chosen = str(Path(chosen).expanduser().absolute())  # a script may change its folder
    os.environ["RXSQL_STORE"] = chosen
    return chosen


def open_existing(name: str | None) -> "tuple[str, Store | None]":
    """Return a store's label, and the store unless its file is not there yet: a look does not make one.

    Raises:
        StoreError: The store cannot be used.
    """
    from rxsql.store.engine import dialect_for, open_store  # noqa: PLC0415 - --help must not wait for it

    chosen = use_store(name)
    dialect = dialect_for(chosen)
    if dialect.embedded and is_missing(dialect.label):
        return dialect.label, None
    return dialect.label, open_store(chosen)


def is_missing(path: str) -> bool:
    """Whether a file is not there; where that cannot be looked up, opening it says why."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def store_with(name: str | None, job_id: str) -> "Store":
    """Return the store in which a job is to be found.

    Raises:
        JobNotFoundError: There is no such store yet, so there is no such job.
        StoreError: The store cannot be used.
    """
    from rxsql.errors import JobNotFoundError  # noqa: PLC0415

    label, store = open_existing(name)
    if store is None:
        raise JobNotFoundError(job_id, label)
    return store
