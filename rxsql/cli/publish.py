"""`rxsql publish`, `unpublish` and `published`: functions that SQL may call by name."""

# ruff: noqa: PLC0415 - the store's libraries wait until a command runs, so that --help is quick
import os
import sys
from typing import Annotated

import typer

from rxsql.cli import display
from rxsql.cli.exits import Exit
from rxsql.cli.options import USUAL_CODES, AsJson, StoreName, epilog, open_existing, use_store

app = typer.Typer(rich_markup_mode=None)
_PANEL = "Workers and the store"
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name that SQL calls.", show_default=False)]


@app.command(
    rich_help_panel=_PANEL,
    epilog=epilog(
        "rxsql publish mymodule:score", "rxsql publish mymodule:score --name score_v2 --store jobs.db"
    ),
)
def publish(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION", help="A function that can be imported here.", show_default=False
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="The name that SQL calls. Default: the function's."),
    ] = None,
    store: StoreName = None,
) -> None:
    """Make a function callable from SQL by its name.

    The function is stored as it is now: publish it again after a change.
    A name that is taken is replaced.
    """
    from rxsql.client.publishing import publish as put
    from rxsql.store.engine import open_store

    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as `python -m` has it
    opened = open_store(use_store(store))
    chosen, replaced = put(opened, target, name)
    typer.echo(f"{'Replaced' if replaced else 'Published'} {chosen} in {opened.label}.")


@app.command(
    rich_help_panel=_PANEL,
    epilog=epilog("rxsql unpublish score", codes=USUAL_CODES | {4: "there is no such name"}),
)
def unpublish(name: Name, store: StoreName = None) -> None:
    """Take a name from SQL; jobs that were submitted with it still run."""
    from rxsql.store.publishing import unpublish as take

    label, opened = open_existing(store)
    if opened is None or not take(opened, name):
        display.complain(f"Nothing is published as {name!r} in {label}. See what is: rxsql published")
        raise typer.Exit(Exit.MISSING)
    typer.echo(f"Unpublished {name}.")


@app.command(
    rich_help_panel=_PANEL,
    epilog=epilog("rxsql published", "rxsql published --json"),
)
def published(as_json: AsJson = False, store: StoreName = None) -> None:
    """List the functions that SQL may call by name."""
    from rxsql.store.publishing import list_published

    _, opened = open_existing(store)
    found = list_published(opened) if opened is not None else []
    if as_json:
        display.print_json(
            [
                {
                    "name": one.name,
                    "function": one.function_name,
                    "python": one.python,
                    "published_by": one.published_by,
                    "published_at": display.iso(one.published_at),
                }
                for one in found
            ]
        )
        return
    if not found:
        display.note("Nothing is published. Publish a function: rxsql publish module:function")
        return
    table = display.Columns("NAME", "FUNCTION", "PYTHON", "PUBLISHED BY", "AGE", flexible="FUNCTION")
    for one in found:
        age = display.age(one.published_at)
        table.add(one.name, one.function_name, one.python, one.published_by, age)
    table.print()
