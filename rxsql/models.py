"""The words of the domain as values: statuses and the frozen rows that cross the store's edge."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from rxsql.kinds import JobKind, NewScript

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rxsql.pages import Spool
    from rxsql.sections import Pieces

LAST_LINES = 10  # of the console, to be shown where a process died


class RxRemoteJobStatus(StrEnum):
    """Where a job stands; each member is also its lower-case word.

    `QUEUED`, `RUNNING`, `FINISHED`, `FAILED` and `CANCELED` are what the column `jobs.status` says.
    `UNDETERMINED` is a job whose results and output were purged, `MISSING` an id the store does not know.

    Differs from revoscalepy: the values are words (`status == "finished"`, `str(status)`), and `MISSING` is R's.

    Example:
        >>> RxRemoteJobStatus.FINISHED == "finished"
        True
    """

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELED = "canceled"
    UNDETERMINED = "undetermined"
    MISSING = "missing"

    @property
    def is_final(self) -> bool:
        """Whether the status can no longer change by running."""
        return self not in (RxRemoteJobStatus.QUEUED, RxRemoteJobStatus.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to insert: a contiguous range of runs and, where runs differ, their inputs as one payload."""

    first_run: int
    run_count: int
    input: bytes | Pieces | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """All that one `rx_exec` call puts into the store."""

    job_id: str
    name: str
    function: bytes
    shared_input: bytes | None
    tasks: Sequence[NewTask]
    has_inputs: bool
    num_tasks: int
    max_attempts: int
    continue_on_failure: bool
    packages_to_load: tuple[str, ...]
    execution_timeout_seconds: int
    auto_cleanup: bool
    console_output: bool
    context: str
    python: str
    submitted_by: str
    run_count: int
    kind: JobKind = JobKind.FUNCTION
    script: NewScript | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row of `jobs`, with its progress as far as it was counted."""

    job_key: int
    job_id: str
    name: str
    kind: JobKind
    status: RxRemoteJobStatus
    run_count: int
    done_runs: int
    failed_runs: int
    num_tasks: int
    auto_cleanup: bool
    console_output: bool
    context: str
    python: str
    error: str | None
    submitted_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def percent(self) -> int:
        """Share of runs that have an outcome, 0 to 100, rounded down."""
        return 100 * self.done_runs // self.run_count if self.run_count else 100

    @property
    def modified_at(self) -> datetime:
        """When the job last changed its status (UTC)."""
        return self.finished_at or self.started_at or self.created_at


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """What a worker needs to know of a job before it runs its tasks; no payload in it is unpickled there."""

    job_key: int
    job_id: str
    function: bytes
    function_hash: str
    shared_input: bytes | None
    run_count: int
    has_inputs: bool
    python: str
    signature: str | None
    num_tasks: int
    max_attempts: int
    continue_on_failure: bool
    packages_to_load: tuple[str, ...]
    seconds_left: float | None
    execution_timeout_seconds: int
    name: str = ""
    kind: JobKind = JobKind.FUNCTION
    script_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed task: this worker may run it, as this attempt."""

    job_key: int
    task: int
    attempt: int
    first_run: int
    run_count: int
    input: bytes | None

    @property
    def key(self) -> tuple[int, int]:
        """Its primary key."""
        return self.job_key, self.task


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job with work to hand out, as the poller sees it when it looks."""

    job_key: int
    num_tasks: int
    slots: int
    own_slots: int
    has_queued: bool


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A row of `workers`."""

    worker_key: int
    worker_id: str
    host: str
    pid: int
    python: str
    version: str
    slots: int
    used_slots: int
    is_alive: bool
    started_at: datetime
    heartbeat_at: datetime
    stopped_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """How many records of a job were removed."""

    job_id: str
    tasks: int
    results: int
    console: int
