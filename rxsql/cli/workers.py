"""`rxsql worker`, `workers`: running a worker, and seeing who runs."""

# ruff: noqa: PLC0415 - the store's libraries wait until a command runs, so that --help is quick
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rxsql.cli import display
from rxsql.cli.options import USUAL_CODES, AsJson, StoreName, epilog, open_existing, use_store
from rxsql.settings import Settings
from rxsql.storename import redacted

if TYPE_CHECKING:
    from rxsql.models import Worker

app = typer.Typer(rich_markup_mode=None)
_PANEL = "Workers and the store"
_SLOTS_HELP = "Child processes at once. Default: RXSQL_SLOTS, else one a processor."


@app.command(
    rich_help_panel=_PANEL,
    epilog=epilog(
        "rxsql worker",
        "rxsql worker --slots 8 --store /srv/rxsql/jobs.db",
        "rxsql worker --exit-when-idle        end once there is nothing to do",
        codes=USUAL_CODES | {0: "it was told to end, or was idle", 1: "it could not start"},
    ),
)
def worker(
    slots: Annotated[
        int | None, typer.Option("--slots", metavar="N", min=1, help=_SLOTS_HELP, show_default=False)
    ] = None,
    exit_when_idle: Annotated[
        bool, typer.Option("--exit-when-idle", help="End after RXSQL_IDLE_EXIT_SECONDS (60) without work.")
    ] = False,
    store: StoreName = None,
) -> None:
    """Run a worker, which takes jobs from the store.

    It runs them in child processes. The first Ctrl-C or SIGTERM lets it end what it has begun; the second
    ends it at once and puts its tasks back. An SQLite store needs no worker of yours: one starts with the
    first job.
    """
    from rxsql.worker.__main__ import run

    use_store(store)
    if store is not None and redacted(store) != store:
        _leave_password_out(slots, exit_when_idle=exit_when_idle)
    settings = Settings.from_environment()
    if slots is not None:
        settings = replace(settings, slots=slots)
    raise typer.Exit(run(settings, exit_when_idle=exit_when_idle))


def _leave_password_out(slots: int | None, *, exit_when_idle: bool) -> None:
    """Become the same command without `--store`: everybody on this machine sees a process's arguments."""
    command = [sys.executable, "-P", "-m", "rxsql.cli", "worker"]
    command += [] if slots is None else ["--slots", str(slots)]
    command += ["--exit-when-idle"] if exit_when_idle else []
    os.execv(sys.executable, command)  # noqa: S606 - the store is in RXSQL_STORE now


@app.command(
    rich_help_panel=_PANEL,
    epilog=epilog(
        "rxsql workers", "rxsql workers --all", "rxsql workers --json | jq 'map(select(.is_alive)) | length'"
    ),
)
def workers(
    every: Annotated[bool, typer.Option("--all", help="Also workers that have stopped.")] = False,
    as_json: AsJson = False,
    store: StoreName = None,
) -> None:
    """List workers, the newest first.

    SLOTS are those in use and all, HEARTBEAT is the age of the last one.
    """
    from rxsql.store.workers import list_workers

    label, found = open_existing(store)
    listed = [one for one in (list_workers(found) if found else []) if every or one.stopped_at is None]
    if as_json:
        display.print_json([_row(one) for one in listed])
    elif listed:
        _print_table(listed)
    else:
        display.note(
            f"No workers on {label}.\nStart one: rxsql worker (an SQLite store starts one by itself with the first job)"
        )


def _print_table(listed: "list[Worker]") -> None:
    right = ("PID", "SLOTS", "HEARTBEAT")
    names = ("ID", "HOST", "PID", "PYTHON", "VERSION", "SLOTS", "HEARTBEAT", "ALIVE")
    table = display.Columns(*names, flexible="HOST", right=right)
    for one in listed:
        table.add(
            one.worker_id,
            one.host,
            str(one.pid),
            one.python,
            one.version,
            f"{one.used_slots}/{one.slots}",
            display.age(one.heartbeat_at),
            display.alive_text(alive=one.is_alive, stopped=one.stopped_at is not None),
        )
    table.print()


def _row(one: "Worker") -> dict[str, Any]:
    return {
        "worker_id": one.worker_id,
        "host": one.host,
        "pid": one.pid,
        "python": one.python,
        "version": one.version,
        "slots": one.slots,
        "used_slots": one.used_slots,
        "is_alive": one.is_alive,
        "started_at": display.iso(one.started_at),
        "heartbeat_at": display.iso(one.heartbeat_at),
        "stopped_at": display.iso(one.stopped_at),
    }
