"""Gathers what children tell and write, and puts it into the store: outcomes, ends of tasks, console lines."""

from __future__ import annotations

import logging
import struct
import time
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from rxsql.reports import Crash, Outcome, Report, RunOutcome, TaskEnd
from rxsql.worker import schedule, wire
from rxsql.worker.outbox import Outbox
from rxsql.worker.uploads import Uploads, returned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rxsql.pages import Spool
    from rxsql.reports import Written
    from rxsql.worker.activejob import ActiveJob
    from rxsql.worker.dispatch import Dispatch
    from rxsql.worker.exits import Exit
    from rxsql.worker.poller import Poller
    from rxsql.worker.pool import Child

log = logging.getLogger("rxsql.worker")
# Between readings of the captured output: where something was written lately, and where nobody writes anything.
_TAIL_SECONDS, _QUIET_TAIL_SECONDS = 0.02, 0.04
_QUIET_AFTER_SECONDS = 0.5
_GATHER_SECONDS = 0.004  # how long outcomes wait for others while children are at work, at least
_GATHER_MOST_SECONDS = 0.2
_GATHER_RUNS = 4  # or for as long as so many runs take
_GATHER_COUNT = 1000
_GATHER_BYTES = 256 * 1024  # of console output


class Reporter:
    """Holds what is not written yet; it stays here until the store has taken it."""

    def __init__(self, poller: Poller, jobs: dict[int, ActiveJob]) -> None:
        self._poller = poller
        self._jobs = jobs
        self._report = Report(number=0)
        self.failures: dict[int, str] = {}  # job keys and the reasons for which the whole job fails
        self._outbox = Outbox(self.failures)
        self._uploads = Uploads(poller)
        self._since = 0.0
        self._console_bytes = 0
        self._tail_due = self._tail_from = 0.0  # when it must be read, and from when on it may be
        self._last_line = 0.0
        self._gather_seconds = _GATHER_SECONDS

    @property
    def due_in(self) -> float | None:
        """Seconds until the report wants to be written; None when there is nothing to write."""
        if not self._report:
            return 0.0 if self._outbox else None
        if self._console_bytes >= _GATHER_BYTES or self._is_awaited:
            return 0.0
        return max(0.0, self._since + self._patience - time.monotonic())

    @property
    def is_uploading(self) -> bool:
        """Whether there are pages of tables to be written, one at each turn."""
        return bool(self._uploads)

    def upload(self) -> None:
        """Write a page of a large table, if there is one."""
        ended = self._uploads.step() if self._uploads else None
        if ended is not None:
            self._note()
            self._report.outcomes.append(ended[0])
            self._report.ends.append(ended[1])

    def abandon(self) -> None:
        """Write what is to be written, but for large tables: their tasks go back."""
        self.write(now=True)
        self._uploads.abandon()

    @property
    def _is_awaited(self) -> bool:
        """Whether a job has nothing more to do here than to have this written."""
        return any(not job.busy and not job.more for job in self._jobs.values())

    @property
    def _patience(self) -> float:
        """How long the report may wait for more: outcomes of long runs wait longer."""
        if self._report.chunks:
            return self._gather_seconds
        longest = max((job.mean_seconds or 0.0 for job in self._jobs.values()), default=0.0)
        return max(self._gather_seconds, min(_GATHER_MOST_SECONDS, _GATHER_RUNS * longest))

    def ends_task_of(self, job_key: int) -> bool:
        """Whether the end of one of a job's tasks is not written yet."""
        return any(end.job_key == job_key for end in self._ends())

    def ended_tasks(self) -> set[tuple[int, int]]:
        """Return the tasks, as (job key, task), whose end is not written yet."""
        return {(end.job_key, end.task) for end in self._ends()}

    def _ends(self) -> Iterator[TaskEnd]:
        return chain(self._outbox.ends(), self._report.ends, self._uploads.ends())

    def clear(self) -> None:
        """Forget what is not written: others have these tasks now."""
        self._report, self._outbox = Report(number=0), Outbox(self.failures)
        self._uploads.clear()
        self.failures.clear()

    # --------------------------------------------------------------------------------------------- hearing

    def hear(self, job: ActiveJob, child: Child) -> None:
        """Take in what a child has sent; one that talks nonsense is ended: user code has got at its socket."""
        try:
            for message in child.messages():
                self._take(job, child, message)
        except (struct.error, LookupError, ValueError, OverflowError, OSError) as error:
            if not child.stopping:
                log.warning("child.nonsense job_key=%d error=%r", job.item.job_key, error)
                child.begin_stop()

    def _take(self, job: ActiveJob, child: Child, message: wire.Message) -> None:
        if message.kind == wire.OUTCOME:
            child.has_loaded = True
            job.lost_children = 0
            self._outcome(job, child, wire.parse_outcome(message))
        elif message.kind == wire.BROKEN:
            self.failures[job.item.job_key] = wire.parse_broken(message)

    def _outcome(self, job: ActiveJob, child: Child, message: wire.OutcomeMessage) -> None:
        dispatch = child.in_flight.get(message.number)
        if dispatch is None or message.run != dispatch.runs[0] or job.item.job_key in self.failures:
            return
        ends = message.stdout_end, message.stderr_end
        if ends != child.positions:
            ends = child.written_up_to(*ends)
        self.capture(child, dispatch, ends, final=True)
        error = message.error if message.failed else None
        value, pages = returned(job, message)
        outcome = Outcome(message.run, value, error, message.traceback or None)
        if self.end_run(job, dispatch, outcome, message.seconds, pages):
            del child.in_flight[dispatch.number]

    def end_run(
        self,
        job: ActiveJob,
        dispatch: Dispatch,
        outcome: Outcome,
        seconds: float = 0.0,
        pages: Spool | None = None,
    ) -> bool:
        """Note the outcome of the run that a task is in; return whether the task has ended with it."""
        task = dispatch.task
        outcome = self._poller.sealed(job.item, outcome)
        entry = RunOutcome(task.job_key, task.task, task.attempt, outcome, pages)
        if pages is not None and pages.file is not None and len(dispatch.runs) == 1:
            dispatch.next_run(seconds)
            self._uploads.put(replace(entry, pages=None), pages, self._end_of(job, dispatch))
            return True
        self._note()
        self._report.outcomes.append(entry)
        dispatch.next_run(seconds)
        if outcome.error is not None:
            dispatch.failed_runs += 1
            dispatch.error = dispatch.error or outcome.error
            if not job.item.continue_on_failure:
                reason = f"Run {outcome.run} failed with {outcome.error}; the rest was not started."
                self.failures.setdefault(task.job_key, reason)
        if dispatch.runs:
            return False
        self.end_task(job, dispatch)
        return True

    def settle(self, job: ActiveJob, dispatch: Dispatch) -> bool:
        """End a task that needs no child: its runs are done, or its input is refused; return whether it was one."""
        if not dispatch.runs:
            self.end_task(job, dispatch)
            return True
        if dispatch.refused is None:
            return False
        log.warning("task.refused job_id=%s task=%d", job.item.job_id, dispatch.task.task)
        ended = False
        while not ended:
            ended = self.end_run(job, dispatch, Outcome(dispatch.runs[0], None, dispatch.refused))
        return True

    def end_task(self, job: ActiveJob, dispatch: Dispatch) -> None:
        """Note the end of a task none of whose runs is left to be run."""
        self._note()
        self._report.ends.append(self._end_of(job, dispatch))

    def _end_of(self, job: ActiveJob, dispatch: Dispatch) -> TaskEnd:
        task = dispatch.task
        job.mean_seconds = schedule.mean(job.mean_seconds, dispatch.seconds)
        return TaskEnd(
            job_key=task.job_key,
            task=task.task,
            attempt=task.attempt,
            failed_runs=dispatch.failed_runs,
            seconds=dispatch.seconds,
            error=dispatch.error,
        )

    def _note(self) -> None:
        if not self._report:
            self._since = time.monotonic()

    # --------------------------------------------------------------------------------------------- console

    @property
    def tail_in(self) -> float:
        """Seconds until the captured output is to be read."""
        return max(0.0, self._tail_due - time.monotonic())

    def tail(self) -> None:
        """Read what running tasks have written so far."""
        now = time.monotonic()
        if now < self._tail_from:
            return
        is_quiet = now > self._last_line + _QUIET_AFTER_SECONDS
        self._tail_from = now + _TAIL_SECONDS
        self._tail_due = now + (_QUIET_TAIL_SECONDS if is_quiet else _TAIL_SECONDS)
        for job in self._jobs.values():
            for child in job.children:
                # Sizes first, messages second: what lies below these sizes and belongs to an ended run is known then.
                sizes = child.written()
                self.hear(job, child)
                dispatch = child.current()
                if dispatch is not None:
                    self.capture(child, dispatch, sizes)

    def capture(
        self, child: Child, dispatch: Dispatch, ends: tuple[int, int], *, final: bool = False
    ) -> None:
        """Note what a child wrote up to these positions as the output of the run it is in."""
        if dispatch.console is None and ends == child.positions:
            return
        for stream, capture in enumerate(child.captures):
            data = dispatch.quota.take(capture, ends[stream], final=final)
            if not data and dispatch.console is None:
                continue
            chunk = dispatch.run_console().add(stream, data, final=final)
            if chunk is not None:
                self._last_line = time.monotonic()
                self._note()
                self._report.chunks.append(chunk)
                self._console_bytes += len(data)

    def crash(self, child: Child, dispatch: Dispatch, end: Exit) -> None:
        """Note how a child ended that died in a run."""
        task = dispatch.task
        self._note()
        self._report.crashes.append(
            Crash(
                job_key=task.job_key,
                task=task.task,
                run=dispatch.runs[0],
                attempt=task.attempt,
                exit_code=end.code if end.code >= 0 else None,
                exit_signal=end.signal_name,
                peak_kib=end.peak_kib,
                stacks=child.stacks(),
                last_lines=dispatch.last_lines,
            )
        )

    # --------------------------------------------------------------------------------------------- writing

    def write(self, *, now: bool = False) -> Written | None:
        """Write the report when it is time; return what came of it."""
        if not self._report and not self._outbox:
            return None
        if self._report and (now or self._is_due()):
            self._outbox.put(self._report)
            self._report = Report(number=0)
            self._console_bytes = 0
        begun = time.monotonic()
        written = self._outbox.send(self._poller.write)
        if written is not None:  # a store that takes longer gets fewer and larger reports
            self._gather_seconds = min(_GATHER_MOST_SECONDS, max(_GATHER_SECONDS, time.monotonic() - begun))
        for job_key, task in written.refused if written else ():
            self._lost(job_key, task)
        return written

    def _is_due(self) -> bool:
        is_full = len(self._report.outcomes) >= _GATHER_COUNT or bool(self.failures)
        return is_full or self.due_in == 0.0 or not any(job.at_work for job in self._jobs.values())

    def _lost(self, job_key: int, task: int) -> None:
        """Stop working on a task that is not this worker's any more."""
        job = self._jobs.get(job_key)
        for child in job.children if job else ():
            current = child.current()
            if current is not None and current.task.task == task:
                log.warning("task.lost job_key=%d task=%d", job_key, task)
                child.in_flight.clear()
                child.begin_stop()
