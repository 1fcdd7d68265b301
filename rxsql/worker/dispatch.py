"""A task on its way through a worker: handed to a child, run by run."""

from __future__ import annotations

import textwrap
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rxsql.worker.capture import Quota, RunConsole

if TYPE_CHECKING:
    from collections.abc import Collection

    from rxsql.models import Task
    from rxsql.pages import Spool
    from rxsql.sections import Section
    from rxsql.store.scripts import InputPages
    from rxsql.worker.exits import Exit


@dataclass(slots=True)
class Dispatch:
    """A task that a child has got, and the run it is in."""

    number: int
    task: Task
    runs: deque[int]
    input: bytes | Spool | Section = b""
    failed_runs: int = 0
    seconds: float = 0.0
    error: str | None = None
    console: RunConsole | None = None
    quota: Quota = field(default_factory=Quota)
    refused: str | None = None  # why no child may have it
    unread: InputPages | None = None  # its input, where that is still to be read

    @classmethod
    def of(cls, number: int, task: Task, done: Collection[int], quota: Quota) -> Dispatch:
        """Return a task's dispatch, without the runs that are done."""
        if task.run_count == 1 and not done:  # as most are
            return cls(number, task, deque((task.first_run,)), quota=quota)
        runs = deque(run for run in range(task.first_run, task.first_run + task.run_count) if run not in done)
        return cls(number, task, runs, quota=quota)

    @property
    def done_runs(self) -> tuple[int, ...]:
        """The task's runs that are not to be run (again)."""
        task = self.task
        if len(self.runs) == task.run_count:
            return ()
        waiting = set(self.runs)
        return tuple(
            run for run in range(task.first_run, task.first_run + task.run_count) if run not in waiting
        )

    def next_run(self, seconds: float) -> None:
        """Go on to the next run, after this one took so long."""
        self.runs.popleft()
        self.console = None
        self.seconds += seconds

    @property
    def last_lines(self) -> str | None:
        """The last console lines of the run it is in, if there are any."""
        return self.console.last_lines if self.console else None

    def run_console(self) -> RunConsole:
        """Return the console of the run it is in."""
        if self.console is None:
            self.console = RunConsole(self.task.job_key, self.task.task, self.task.attempt, self.runs[0])
        return self.console

    def died(self, end: Exit, max_attempts: int, memory_mb: int) -> str:
        """Say that the child died in the run it was in, and how; the error of that run."""
        text = (
            f"ChildDiedError: The child process died in run {self.runs[0]}: {end.describe(memory_mb)} "
            f"(attempt {self.task.attempt} of {max_attempts})"
        )
        if self.last_lines:
            text += f". Its last console lines:\n{textwrap.indent(self.last_lines, '    ')}"
        return text
