"""How things look: tables, aligned fields, ages and times; colour and widths only where a terminal shows them."""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rxsql.models import RxRemoteJobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LEAST_FLEXIBLE = 8  # columns of a terminal
_NO_LIMIT = 100_000  # columns of a pipe: nothing is cut there
_STYLES = {
    RxRemoteJobStatus.QUEUED: "dim",
    RxRemoteJobStatus.RUNNING: "cyan",
    RxRemoteJobStatus.FINISHED: "green",
    RxRemoteJobStatus.FAILED: "red",
    RxRemoteJobStatus.CANCELED: "yellow",
    RxRemoteJobStatus.UNDETERMINED: "dim",
}
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def console(*, stderr: bool = False) -> Console:
    """Return a console for stdout or stderr."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _NO_LIMIT
    return Console(file=stream, width=width, highlight=False, emoji=False, markup=False)


def complain(message: str) -> None:
    """Say what went wrong, on stderr."""
    console(stderr=True).print(Text.assemble(("error: ", "bold red"), message))


def note(message: str) -> None:
    """Say something beside the data, on stderr."""
    console(stderr=True).print(Text(message, "dim"))


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Show each warning as one line on stderr: a command has no line of source that the reader knows."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: note(str(message))
        yield


def status_text(status: RxRemoteJobStatus) -> Text:
    """Return a status in its colour."""
    return Text(str(status), _STYLES.get(status, ""))


def failed_text(count: int) -> Text:
    """Return a number of failed runs: it strikes the eye unless it is 0."""
    return Text(str(count), "red" if count else "dim")


def error_text(message: str) -> Text:
    """Return an error in its colour."""
    return Text(message, "red")


def alive_text(*, alive: bool, stopped: bool) -> Text:
    """Return whether a worker lives, in its colour."""
    if alive:
        return Text("yes", "green")
    return Text("stopped", "dim") if stopped else Text("no", "red")


class Columns:
    """A table without lines: a head, and rows of aligned cells.

    Args:
        flexible: The column that is cut where the terminal is too narrow.
        right: The columns that are aligned at their right.
    """

    def __init__(self, *names: str, flexible: str = "", right: Iterable[str] = ()) -> None:
        self._table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        self._flexible = names.index(flexible) if flexible else -1
        self._widths = [len(name) for name in names]
        for name in names:
            justify: Any = "right" if name in right else "left"
            self._table.add_column(name, justify=justify, no_wrap=name != flexible, overflow="fold")

    def add(self, *cells: str | Text) -> None:
        """Add a row."""
        row = [cell if isinstance(cell, Text) else Text(cell) for cell in cells]
        if self._flexible >= 0:
            row[self._flexible].no_wrap = True
            row[self._flexible].overflow = "ellipsis"
        self._widths = [max(pair) for pair in zip(self._widths, (cell.cell_len for cell in row), strict=True)]
        self._table.add_row(*row)

    def print(self) -> None:
        """Print it on stdout, without blanks at the ends of lines."""
        out = console()
        # A cell that is cut looks whole, so a terminal that is too narrow shows a row on two lines.
        out.width = max(out.width, self._least_width())
        with out.capture() as captured:
            out.print(self._table)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))

    def _least_width(self) -> int:
        widths = [*self._widths]
        if self._flexible >= 0:
            widths[self._flexible] = min(widths[self._flexible], _LEAST_FLEXIBLE)
        return sum(widths) + 2 * (len(widths) - 1)


def print_fields(fields: Iterable[tuple[str, str | Text]]) -> None:
    """Print labels and values on stdout, one below the other; further lines of a value are indented as its first."""
    shown = [(label, value) for label, value in fields if str(value)]
    width = max(len(label) for label, _ in shown)
    out = console()
    for label, value in shown:
        text = value if isinstance(value, Text) else Text(value)
        first, *more = text.split("\n", allow_blank=True)
        out.print(Text.assemble((f"  {label:<{width}}  ", "dim"), first), soft_wrap=True)
        for line in more:
            out.print(Text.assemble(" " * (width + 4), line), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def iso(moment: datetime | None) -> str | None:
    """Return an instant as JSON has it: ISO 8601 in UTC, to the millisecond."""
    return (
        None
        if moment is None
        else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    )


def local(moment: datetime) -> str:
    """Return an instant as a person reads it: in local time, to the second."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def age(moment: datetime, now: datetime | None = None) -> str:
    """Return how long ago an instant was, in its largest unit."""
    return duration(max(0.0, ((now or datetime.now(UTC)) - moment).total_seconds()), decimals=0)


def duration(seconds: float, *, decimals: int = 1) -> str:
    """Return a span of time in its largest unit; where there are decimals, there are milliseconds too."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    if decimals and seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.{decimals}f} s" if decimals else f"{int(seconds)} s"


def plural(count: int, word: str) -> str:
    """Return a count with its word."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
