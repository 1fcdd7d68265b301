"""What a worker writes back: outcomes, ends of tasks, console lines and crashes, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from rxsql.pages import Spool

LAST_LINES = 10  # of the console, to be shown where a process died


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run ended with: a value's payload, or an error's text, traceback and (if it could be had) payload."""

    run: int
    value: bytes | memoryview | None
    error: str | None = None
    traceback: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the run ended with an error."""
        return self.error is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnd:
    """A task's end as its worker reports it; the store refuses it when attempt or worker no longer fit."""

    job_key: int
    task: int
    attempt: int
    failed_runs: int
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class ConsoleChunk:
    """Consecutive console lines of one task's attempt; `partial` when the last one has no line end (yet)."""

    job_key: int
    task: int
    run: int
    attempt: int
    stream: str
    first_line: int
    text: str  # the lines, with a line end between them
    partial: bool

    @property
    def lines(self) -> list[str]:
        """The lines one by one."""
        return self.text.split("\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """How a process ended that died while it ran user code: its black box.

    Args:
        task: The task of the job it was in, with its attempt.
        run: The run it was in.
        exit_code: What it exited with; None when a signal ended it.
        exit_signal: The signal's name; None when it exited.
        peak_kib: The most memory it had at once, in KiB; None when that could not be had.
        stacks: Where its Python threads were, as `faulthandler` wrote it; None when that could not be had.
        last_lines: The last console lines of the run; None when there were none.
        died_at: When the store was told (UTC).
    """

    job_key: int
    task: int
    run: int
    attempt: int
    exit_code: int | None
    exit_signal: str | None
    peak_kib: int | None
    stacks: str | None
    last_lines: str | None
    died_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """An outcome with its task and attempt, on its way into the store; a script's has pages, and no value."""

    job_key: int
    task: int
    attempt: int
    outcome: Outcome
    pages: Spool | None = None


@dataclass(slots=True)
class Report:
    """What a worker writes back in one transaction; its number is greater than that of the worker's one before."""

    number: int = 1
    chunks: list[ConsoleChunk] = field(default_factory=list)
    outcomes: list[RunOutcome] = field(default_factory=list)
    ends: list[TaskEnd] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.chunks or self.outcomes or self.ends or self.crashes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of a report: tasks, as (job key, task), that are not the worker's any more, and jobs that ended."""

    refused: set[tuple[int, int]]
    ended_jobs: set[int]
