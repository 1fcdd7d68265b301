"""The words of the domain as values: statuses and the frozen rows that cross the store's edge."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rxsql.kinds import JobKind, NewScript

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rxsql.sections import Pieces


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
class JobState:
    """Where a job stands, and what is needed to take its results: cheap to ask for."""

    job_key: int
    job_id: str
    status: RxRemoteJobStatus
    run_count: int
    error: str | None
    function_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(JobState):
    """A row of `jobs`, with its progress as far as it was counted."""

    name: str
    kind: JobKind
    done_runs: int
    failed_runs: int
    num_tasks: int
    auto_cleanup: bool
    console_output: bool
    context: str
    python: str
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
