"""A progress bar for waiting calls: in a terminal or a notebook, and only when the wait is long enough to be seen."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self

from rxsql.client.options import RxOptions

if TYPE_CHECKING:
    from types import TracebackType

    from rxsql.models import Job

_APPEARS_SECONDS = 0.4
_REFRESH_SECONDS = 0.1


class ProgressBar:
    """Shows how many of a job's runs have ended; nothing in a pipe, nor where `reportProgress` is 0."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._enabled = bool(RxOptions.get_option("reportProgress")) and _has_watcher()
        self._due = time.monotonic() + _APPEARS_SECONDS
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def is_due(self) -> bool:
        """Whether it wants to be told how the job stands."""
        return self._enabled and time.monotonic() >= self._due

    @property
    def is_shown(self) -> bool:
        """Whether it has appeared."""
        return self._bar is not None

    def update(self, job: Job) -> None:
        """Show how the job stands."""
        began = time.monotonic()
        if self._bar is None:
            self._bar, self._task = _make(self._title, job.run_count)
        failed = f"[red]{job.failed_runs} failed" if job.failed_runs else ""
        self._bar.update(self._task, completed=job.done_runs, failed=failed, status=str(job.status))
        self._due = time.monotonic() + max(_REFRESH_SECONDS, 10 * (time.monotonic() - began))


def _has_watcher() -> bool:
    return "ipykernel" in sys.modules or sys.stderr.isatty()


def _make(title: str, total: int) -> tuple[Any, Any]:
    from rich.console import Console  # noqa: PLC0415 - only who watches pays for it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs"),
        TextColumn("{task.fields[status]}"),
        TextColumn("{task.fields[failed]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        redirect_stdout=sys.stdout.isatty(),
    )
    bar.start()
    return bar, bar.add_task(title, total=total, failed="", status="")
