"""The command line as a whole: its commands in their sections, and the help around them."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from rxsql.cli import bench, cleanup, db, demo, jobs, publish, results, run, workers

_EPILOG = """\b
Examples:
  rxsql demo                            see it work
  rxsql run script.py                   run a script written for revoscalepy
  rxsql jobs --status running           list what runs
  rxsql wait ID && rxsql results ID     wait for a job, then show its results

\b
Exit codes:
    0  done; of a job: it finished
    1  an error; of a job: it failed
    2  wrong usage
    3  the job was canceled
    4  there is no such job, or its results and output were removed
    5  the job is queued or running
  130  interrupted by Ctrl-C
"""


class Sections(TyperGroup):
    """A group that lists its commands by section."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            line = (name, command.get_short_help_str(formatter.width))
            sections.setdefault(command.rich_help_panel or "Commands", []).append(line)
        for title, lines in sections.items():
            with formatter.section(title):
                formatter.write_dl(lines)


def _say_version(wanted: bool) -> None:
    if wanted:
        import rxsql  # noqa: PLC0415 - the package knows its version when asked

        typer.echo(f"rxsql {rxsql.__version__}")
        raise typer.Exit


def _rxsql(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version, and end."),
    ] = False,
) -> None:
    """Run revoscalepy's RxInSqlServer jobs again: jobs, results and output are rows in your database.

    The store is the file or database that --store or RXSQL_STORE names; by default an SQLite file in your
    data folder.
    """


def make_command() -> Callable[..., Any]:
    """Return the whole command line as one callable."""
    app = typer.Typer(
        cls=Sections,
        epilog=_EPILOG,
        add_completion=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # the same help in a terminal and in a pipe, and examples keep their lines
    )
    app.callback()(_rxsql)
    for module in (demo, bench, run, jobs, results, cleanup, workers, publish):
        app.add_typer(module.app)
    app.add_typer(db.app, name="db", rich_help_panel="Workers and the store")
    return get_command(app)
