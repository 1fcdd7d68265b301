"""`rxsql db`: the store's tables."""

# ruff: noqa: PLC0415 - the store's libraries wait until a command runs, so that --help is quick
import sys
from typing import Annotated, Any

import typer

from rxsql.cli import display
from rxsql.cli.exits import Exit
from rxsql.cli.options import USUAL_CODES, AsJson, StoreName, epilog, is_missing, use_store

app = typer.Typer(
    help="Make, check and print the store's tables.",
    rich_markup_mode=None,
    no_args_is_help=True,
    epilog=epilog("rxsql db status", "rxsql db init --store jobs.db", "rxsql db script > schema.sql"),
)


@app.command(epilog=epilog("rxsql db init", "rxsql db init --store /srv/rxsql/jobs.db"))
def init(store: StoreName = None) -> None:
    """Make the store's tables; nothing is changed where they are there.

    An SQLite store needs no init: the first job makes it.
    """
    from rxsql.store.engine import connect
    from rxsql.store.install import install, installed_version

    found = connect(use_store(store))
    try:
        before = installed_version(found)
        version = install(found)
    finally:
        found.close()
    done = "has schema version" if before == version else "now has schema version"
    typer.echo(f"{found.label} {done} {version}.")


@app.command(
    epilog=epilog(
        "rxsql db status",
        "rxsql db status --store jobs.db --json",
        codes=USUAL_CODES
        | {0: "the store is ready", 1: "it is not there or of another version, or an error"},
    )
)
def status(as_json: AsJson = False, store: StoreName = None) -> None:
    """Show which store is used, its schema version, and what it holds."""
    from rxsql.store.engine import dialect_for

    dialect = dialect_for(use_store(store))
    facts = {"store": dialect.label, "dialect": dialect.name} | _facts(dialect)
    if as_json:
        display.print_json(facts)
    else:
        _print(facts)
    raise typer.Exit(Exit.OK if facts["is_ready"] else Exit.FAILED)


def _facts(dialect: Any) -> dict[str, Any]:
    from rxsql.store.engine import Store
    from rxsql.store.install import installed_version
    from rxsql.store.jobs import list_jobs
    from rxsql.store.tables import SCHEMA_VERSION
    from rxsql.store.workers import list_workers

    found: dict[str, Any] = {"is_ready": False, "schema_version": 0, "expected_version": SCHEMA_VERSION}
    found |= {"jobs": {}, "live_workers": 0}
    if dialect.embedded and is_missing(dialect.label):
        return found
    store = Store(dialect)
    try:
        found["schema_version"] = installed_version(store)
        found["is_ready"] = found["schema_version"] == SCHEMA_VERSION
        if found["is_ready"]:
            for job in list_jobs(store):
                found["jobs"][str(job.status)] = found["jobs"].get(str(job.status), 0) + 1
            found["live_workers"] = sum(worker.is_alive for worker in list_workers(store))
    finally:
        store.close()
    return found


def _print(facts: dict[str, Any]) -> None:
    version, expected = facts["schema_version"], facts["expected_version"]
    jobs = ", ".join(f"{count} {word}" for word, count in facts["jobs"].items()) or "none"
    ready = facts["is_ready"]
    display.print_fields(
        [
            ("store", facts["store"]),
            ("dialect", facts["dialect"]),
            ("schema", f"version {version}" if version else "none yet"),
            ("jobs", jobs if ready else ""),
            ("workers", f"{facts['live_workers']} alive" if ready else ""),
        ]
    )
    if not version:
        display.note("\nMake the tables: rxsql db init (an SQLite store makes them with its first job)")
    elif version > expected:
        display.note(f"\nThis rxsql speaks version {expected}. Upgrade it: pip install --upgrade rxsql")
    elif version < expected:
        display.note(f"\nThis rxsql speaks version {expected}. Upgrade the tables: rxsql db init")


@app.command(epilog=epilog("rxsql db script", "rxsql db script --dialect sqlite | sqlite3 jobs.db"))
def script(
    dialect: Annotated[
        str,
        typer.Option(
            "--dialect", metavar="NAME", help="The kind of database: the name of a folder under sql/."
        ),
    ] = "sqlite",
) -> None:
    """Print the SQL that makes the tables, for a person to read and run."""
    from rxsql.store import sqlfiles

    known = sorted(path.parent.name for path in sqlfiles.sql_root().glob("*/schema.sql"))
    if dialect not in known:
        raise typer.BadParameter(f"{dialect!r} is none of: {', '.join(known)}.", param_hint="--dialect")
    sys.stdout.write(sqlfiles.script(dialect))
