"""How progress looks: a bar in a terminal, and one in a notebook."""

from __future__ import annotations

import html
import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rxsql.models import Job

_BESIDE_TITLE = 48  # columns for the bar itself: where a terminal has less, the title goes


class Bar(Protocol):
    """Shows how a job stands, each time in the place of the time before."""

    def show(self, job: Job) -> None:
        """Show it, for the first time or anew."""

    def close(self) -> None:
        """Leave the last state standing."""


class TerminalBar:
    """A bar at the bottom of what is shown in the terminal, on standard error."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._progress: Any = None
        self._task: Any = None

    def show(self, job: Job) -> None:
        """Show it, for the first time or anew."""
        if self._progress is None:
            # Known before it is shown, so that a Ctrl-C in between takes it away again.
            self._progress = _progress(self._title)
            self._progress.start()
            self._task = self._progress.add_task(self._title, total=job.run_count, failed="", status="")
        failed = f"[red]{job.failed_runs} failed" if job.failed_runs else ""
        self._progress.update(self._task, completed=job.done_runs, failed=failed, status=str(job.status))

    def close(self) -> None:
        """Leave the last state standing."""
        if self._progress is not None:
            self._progress.stop()

    def print_above(self, lines: str) -> None:
        """Show lines above the bar as the terminal would show them without it: not wrapped at words, no markup."""
        from rich.text import Text  # noqa: PLC0415 - only who watches pays for it

        self._progress.console.print(Text.from_ansi(lines), soft_wrap=True, highlight=False)


def _progress(title: str) -> Any:
    from rich.console import Console  # noqa: PLC0415
    from rich.constrain import Constrain  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    console = Console(stderr=True)

    class OneLine(Progress):
        """Leaves room for the ^C that a terminal shows behind it, so that its last state takes the same line."""

        def get_renderables(self) -> Any:
            for row in super().get_renderables():
                yield Constrain(row, console.width - len(" ^C"))

    return OneLine(
        *([TextColumn("[bold]{task.description}")] if console.width >= len(title) + _BESIDE_TITLE else []),
        BarColumn(),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("runs"),
        TextColumn("{task.fields[status]}"),
        TextColumn("{task.fields[failed]}"),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        console=console,
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
    )


class NotebookBar:
    """A bar in the output of a notebook's cell; it needs no widgets."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._display: Any = None

    def show(self, job: Job) -> None:
        """Show it, for the first time or anew."""
        from IPython.display import display  # noqa: PLC0415 - there is one in a notebook

        view = _View(self._title, job)
        if self._display is None:
            self._display = display(view, display_id=True)
        else:
            self._display.update(view)

    def close(self) -> None:
        """Leave the last state standing."""


class _View:
    """What a notebook shows: HTML where it can, else text."""

    def __init__(self, title: str, job: Job) -> None:
        self._title = title
        self._done, self._total = job.done_runs, job.run_count
        failed = f", {job.failed_runs} failed" if job.failed_runs else ""
        self._text = f"{job.done_runs}/{job.run_count} runs, {job.status}{failed}"

    def __repr__(self) -> str:
        return f"{self._title}: {self._text}"

    def _repr_html_(self) -> str:
        bar = f'<progress value="{self._done}" max="{self._total}"></progress>'
        return f"<b>{html.escape(self._title)}</b> {bar} {self._text}"


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    if "ipykernel" not in sys.modules:
        return False
    try:
        from IPython import get_ipython  # noqa: PLC0415
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None
