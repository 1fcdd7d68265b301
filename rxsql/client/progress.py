"""A progress bar for waiting calls, and a job's console lines above it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

from rxsql.client.bars import Bar, NotebookBar, TerminalBar, in_notebook
from rxsql.client.options import RxOptions

if TYPE_CHECKING:
    from types import TracebackType

    from rxsql.models import Job

_APPEARS_SECONDS = 0.4  # a shorter wait shows no bar
_REFRESH_SECONDS = 0.1


class ProgressBar:
    """Shows how many of a job's runs have ended; nothing in a pipe, nor where `reportProgress` is 0."""

    def __init__(self, title: str) -> None:
        self._bar = _bar(title) if RxOptions.get_option("reportProgress") else None
        self._is_shown = False
        self._due = time.monotonic() + _APPEARS_SECONDS
        self._held = {"stdout": "", "stderr": ""}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            for stream, text in self._held.items():
                self.write(text, stream)

    @property
    def is_due(self) -> bool:
        """Whether it wants to be told how the job stands."""
        return self._bar is not None and time.monotonic() >= self._due

    @property
    def is_shown(self) -> bool:
        """Whether it has appeared."""
        return self._is_shown

    def update(self, job: Job) -> None:
        """Show how the job stands."""
        if self._bar is not None:
            began = time.monotonic()
            self._is_shown = True
            self._bar.show(job)
            self._due = time.monotonic() + max(_REFRESH_SECONDS, 10 * (time.monotonic() - began))

    def write(self, text: str, stream: str) -> None:
        """Write console text to this process's stream of that name, above the bar where both are on the screen."""
        target = sys.stdout if stream == "stdout" else sys.stderr
        if target is None:
            return
        if not isinstance(self._bar, TerminalBar) or not self._is_shown or not target.isatty():
            target.write(text)
            target.flush()
            return
        # The bar stands on the line below, so a line is shown when it is complete.
        lines, mark, self._held[stream] = (self._held[stream] + text).rpartition("\n")
        if mark:
            self._bar.print_above(lines)


def _bar(title: str) -> Bar | None:
    if in_notebook():
        return NotebookBar(title)
    return TerminalBar(title) if sys.stderr is not None and sys.stderr.isatty() else None
