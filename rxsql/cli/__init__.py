"""The command line: `main` is its entry point; the rest is imported when it is called."""

from __future__ import annotations

import sys

from rxsql.errors import JobNotFoundError, RxSqlError

_INTERRUPTED = 130  # as `Exit` has it, which may not be there yet


def main() -> None:
    """Run the command that the arguments name, and end the process with its exit code."""
    try:
        from rxsql.cli.app import make_command  # noqa: PLC0415 - children import from this package, without it
        from rxsql.cli.exits import Exit  # noqa: PLC0415

        command = make_command()
    except KeyboardInterrupt:  # later ones are typer's
        sys.exit(_INTERRUPTED)
    try:
        command(prog_name="rxsql")
    except RxSqlError as error:
        from rxsql.cli.display import complain  # noqa: PLC0415

        complain(str(error))
        sys.exit(Exit.MISSING if isinstance(error, JobNotFoundError) else Exit.FAILED)
