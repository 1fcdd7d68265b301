"""`rxsql run`: runs a script that was written for revoscalepy, as Python would run it."""

import builtins
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Annotated, NoReturn

import typer

from rxsql import revoscalepy
from rxsql.cli.exits import Exit
from rxsql.cli.options import USUAL_CODES, StoreName, epilog, use_store

app = typer.Typer(rich_markup_mode=None)


@app.command(
    rich_help_panel="Start here",
    context_settings={"allow_interspersed_args": False},
    epilog=epilog(
        "rxsql run script.py",
        "rxsql run --store jobs.db script.py --days 7    --days belongs to the script",
        codes=USUAL_CODES | {0: "the script ended well", 1: "an error in it"},
        also="Else the exit code that the script gives.",
    ),
)
def run(
    script: Annotated[str, typer.Argument(metavar="SCRIPT", help="A Python file.", show_default=False)],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS", help="All that follows belongs to the script.", show_default=False),
    ] = None,
    store: StoreName = None,
) -> None:
    """Run a script that imports revoscalepy, unchanged.

    `import revoscalepy` gives rxsql, and the store takes the place of any SQL Server that the script names
    in a connection string. To have that without `rxsql run`, set RXSQL_STORE and import from rxsql.
    """
    use_store(store)
    revoscalepy.install()
    run_script(script, arguments or [])


def run_script(script: str, arguments: list[str]) -> None:
    """Run a file as `__main__`; end the process where the script would.

    Raises:
        SystemExit: The script ended itself, or with an error that was shown.
    """
    path = str(Path(script).absolute())
    source = _read(script)
    module = ModuleType("__main__")
    module.__dict__.update(
        __builtins__=builtins,
        __file__=path,
        __loader__=SourceFileLoader("__main__", path),
        __annotations__={},
    )
    sys.argv = [script, *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = str(Path(path).resolve().parent)
    sys.modules["__main__"] = module
    try:
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what it is for
    except Exception as error:  # noqa: BLE001 - it is the script's own, and shown as Python shows it
        _end(error, Exit.FAILED)
    except KeyboardInterrupt as error:
        _end(error, Exit.INTERRUPTED)


def _read(script: str) -> bytes:
    try:
        return Path(script).read_bytes()
    except OSError as error:
        raise typer.BadParameter(
            f"{script} cannot be read: {error.strerror}.", param_hint="SCRIPT"
        ) from error


def _end(error: BaseException, code: Exit) -> NoReturn:
    """Show an error as if the script had been the outermost frame, and end."""
    trace = error.__traceback__
    error = error.with_traceback(trace.tb_next if trace else None)
    sys.excepthook(type(error), error, error.__traceback__)
    sys.stdout.flush()
    sys.exit(code)
