"""The worker's loop: one thread that hears children, database and signals, and moves tasks from one to the other."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rxsql.errors import StoreError
from rxsql.models import Outcome, Report, RunOutcome, TaskEnd
from rxsql.worker import schedule, wire
from rxsql.worker.poller import Poller
from rxsql.worker.pool import Child, Dispatch, Pool

if TYPE_CHECKING:
    from rxsql.models import OpenJob, WorkItem
    from rxsql.settings import Settings
    from rxsql.store.engine import Store

log = logging.getLogger("rxsql.worker")
_LOOK_SECONDS = 1.0  # between looks when nothing hints at a change
_HINT_SECONDS = 0.01  # after somebody began to write: the commit is about to be seen
_HINT_POLL_SECONDS = 0.0003
_BUSY_SECONDS = 0.005  # between looks at the hint shortly after there was work
_TAIL_SECONDS = 0.02  # between readings of the captured output
_GATHER_SECONDS = 0.004  # how long outcomes wait for others while children are at work
_GATHER_COUNT = 400
_QUANTUM_SECONDS = 0.25  # for which a job keeps a child that others could use
_STANDBY = 4
_TOP_UP_SECONDS = 0.02


@dataclass(slots=True)
class ActiveJob:
    """A job this worker works for."""

    item: WorkItem
    share: int = 0
    slots: int = 0
    more: bool = True
    mean_seconds: float | None = None
    backlog: deque[Dispatch] = field(default_factory=deque)
    children: list[Child] = field(default_factory=list)
    deadline: float | None = None
    lost_children: int = 0  # that died before they could run anything
    begun_at: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether there is work in memory."""
        return bool(self.backlog) or any(child.in_flight for child in self.children)


class Supervisor:
    """Runs until it is told to end, or has been idle for long enough."""

    def __init__(self, store: Store, settings: Settings, pool: Pool, *, idle_exit: bool = False) -> None:
        self._store = store
        self._settings = settings
        self._pool = pool
        self._poller = Poller(store, settings)
        self._wakeup = store.wakeup()
        self._jobs: dict[int, ActiveJob] = {}
        self._report = Report()
        self._report_since = 0.0
        self._failures: dict[int, str] = {}
        self._idle_exit = settings.idle_exit_seconds if idle_exit else None
        self._last_work = time.monotonic()
        self._look_due = self._tail_due = self._top_up_due = 0.0
        self._hint_until = 0.0
        self._stops = 0
        self._trouble = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(pool.control, selectors.EVENT_READ, None)
        self._wakeup_fd = self._wakeup.fileno()
        if self._wakeup_fd is not None:
            self._selector.register(self._wakeup_fd, selectors.EVENT_READ, None)

    # ------------------------------------------------------------------------------------------- the loop

    def run(self) -> None:
        """Work until the end, then give everything back."""
        self._listen_to_signals()
        log.info("worker.started worker=%s store=%s", self._poller.worker_id, self._store.label)
        try:
            while not self._finished():
                self._turn()
        finally:
            self._stop_now()
            self._wakeup.close()
            log.info("worker.stopped worker=%s", self._poller.worker_id)

    def _turn(self) -> None:
        try:
            changed = self._wait()
            self._hear_zygote()
            self._hear_children()
            self._tail()
            self._write()
            self._watch_limits()
            if not self._poller.keep_alive():
                self._start_over()
            if changed or time.monotonic() >= self._look_due:
                self._look()
            self._work()
            self._pool.escalate()
            self._trouble = 0
        except StoreError as error:
            # What is not written stays in memory; children work on.
            self._trouble += 1
            pause = min(2.0, 0.05 * 2**self._trouble)
            log.warning("store.trouble retry_seconds=%.2f error=%s", pause, error)
            time.sleep(pause)

    def _wait(self) -> bool:
        """Wait for something to happen; return whether the store has changed."""
        for key, _ in self._selector.select(self._timeout()):
            if key.fd == self._wakeup_fd:
                self._wakeup.drain()
                self._hint_until = time.monotonic() + _HINT_SECONDS
        return self._wakeup.changed()

    def _timeout(self) -> float:
        now = time.monotonic()
        if self._report:
            return max(0.0, self._report_since + _GATHER_SECONDS - now)
        if now < self._hint_until:
            return _HINT_POLL_SECONDS
        if self._jobs:
            return _TAIL_SECONDS
        if now - self._last_work < 1 or self._pool.children.keys() - {c.number for c in self._pool.standby()}:
            return _BUSY_SECONDS
        return max(0.0, min(_LOOK_SECONDS, self._look_due - now))

    def _finished(self) -> bool:
        if self._stops:
            return self._stops > 1 or not any(job.busy for job in self._jobs.values())
        if self._idle_exit is None or self._jobs or time.monotonic() - self._last_work < self._idle_exit:
            return False
        with suppress(StoreError):
            if self._poller.stop_if_idle():
                return True
        self._last_work = time.monotonic()
        return False

    # ------------------------------------------------------------------------------------ hearing of things

    def _hear_zygote(self) -> None:
        try:
            notes = self._pool.notes()
        except EOFError:
            self._zygote_died()
            return
        for note in notes:
            if "forked" in note:
                self._pool.children[note["forked"]].pid = note["pid"]
            else:
                self._child_exited(self._pool.children.pop(note["exited"]), note["code"])

    def _zygote_died(self) -> None:
        log.warning("zygote.died")
        self._selector.unregister(self._pool.control)
        for child in list(self._pool.children.values()):
            self._child_exited(child, -signal.SIGKILL)
        self._pool.children.clear()
        self._pool.restart()
        self._selector.register(self._pool.control, selectors.EVENT_READ, None)

    def _hear_children(self) -> None:
        for job in list(self._jobs.values()):
            for child in job.children:
                self._hear(job, child)

    def _hear(self, job: ActiveJob, child: Child) -> None:
        for message in child.messages():
            if message.kind == wire.OUTCOME:
                self._outcome(job, child, wire.parse_outcome(message))
            elif message.kind == wire.READY:
                child.ready = True
            elif message.kind == wire.BROKEN:
                self._failures[job.item.job_key] = wire.parse_text(message)

    def _outcome(self, job: ActiveJob, child: Child, message: wire.OutcomeMessage) -> None:
        dispatch = child.in_flight.get(message.number)
        if dispatch is None:
            return
        self._capture(child, dispatch, (message.stdout_end, message.stderr_end), final=True)
        error = message.error if message.failed else None
        outcome = Outcome(message.run, message.payload, error, message.traceback or None)
        self._ended_run(job, child, dispatch, outcome, message.seconds)

    def _ended_run(
        self, job: ActiveJob, child: Child | None, dispatch: Dispatch, outcome: Outcome, seconds: float
    ) -> None:
        task = dispatch.task
        self._note()
        self._report.outcomes.append(RunOutcome(task.job_key, task.task, task.attempt, outcome))
        dispatch.runs.popleft()
        dispatch.console = None
        dispatch.seconds += seconds
        if outcome.failed:
            dispatch.failed_runs += 1
            dispatch.error = dispatch.error or outcome.error
            if not job.item.continue_on_failure:
                reason = f"Run {outcome.run} failed with {outcome.error}; the rest was not started."
                self._failures.setdefault(task.job_key, reason)
        if dispatch.runs:
            return
        if child is not None:
            del child.in_flight[dispatch.number]
        job.mean_seconds = schedule.mean(job.mean_seconds, dispatch.seconds)
        self._report.ends.append(
            TaskEnd(
                job_key=task.job_key,
                task=task.task,
                attempt=task.attempt,
                failed_runs=dispatch.failed_runs,
                seconds=dispatch.seconds,
                error=dispatch.error,
            )
        )

    def _note(self) -> None:
        if not self._report:
            self._report_since = time.monotonic()

    def _tail(self) -> None:
        """Read what running tasks have written so far."""
        now = time.monotonic()
        if now < self._tail_due:
            return
        self._tail_due = now + _TAIL_SECONDS
        for job in self._jobs.values():
            for child in job.children:
                # Sizes first, messages second: what lies below these sizes and belongs to an ended run is known then.
                sizes = (child.captures[0].size(), child.captures[1].size())
                self._hear(job, child)
                dispatch = child.current()
                if dispatch is not None:
                    self._capture(child, dispatch, sizes)

    def _capture(self, child: Child, dispatch: Dispatch, ends: tuple[int, int], *, final: bool = False) -> None:
        for stream, capture in enumerate(child.captures):
            data = capture.read(ends[stream])
            if not data and dispatch.console is None:
                continue
            chunk = dispatch.run_console().add(stream, data, final=final)
            if chunk is not None:
                self._note()
                self._report.chunks.append(chunk)

    # ------------------------------------------------------------------------------------------ writing back

    def _write(self) -> None:
        news = self._report
        if news and self._is_due(news):
            written = self._poller.write(news)
            self._report = Report()
            self._last_work = time.monotonic()
            self._wakeup.drain()  # our own writing
            for job_key, task in written.refused:
                self._lost(job_key, task)
            for job_key in written.ended_jobs:
                self._retire(self._jobs.pop(job_key, None))
        while self._failures:
            job_key, reason = next(iter(self._failures.items()))
            self._poller.fail(job_key, reason)
            del self._failures[job_key]
            self._drop(job_key)

    def _is_due(self, news: Report) -> bool:
        if len(news.outcomes) >= _GATHER_COUNT or self._failures:
            return True
        at_work = any(child.in_flight for job in self._jobs.values() for child in job.children)
        return not at_work or time.monotonic() - self._report_since >= _GATHER_SECONDS

    def _lost(self, job_key: int, task: int) -> None:
        """Stop working on a task that is not this worker's any more."""
        job = self._jobs.get(job_key)
        for child in job.children if job else ():
            current = child.current()
            if current is not None and current.task.task == task:
                log.warning("task.lost job_key=%d task=%d", job_key, task)
                child.in_flight.clear()
                child.begin_stop()

    def _watch_limits(self) -> None:
        now = time.monotonic()
        for job_key, job in list(self._jobs.items()):
            if job.deadline is not None and now >= job.deadline:
                seconds = job.item.execution_timeout_seconds
                reason = f"The job ran longer than its execution_timeout_seconds of {seconds} s and was ended."
                self._poller.fail(job_key, reason)
                self._drop(job_key)

    # ----------------------------------------------------------------------------------------- getting work

    def _look(self) -> None:
        now = time.monotonic()
        self._look_due = now + _LOOK_SECONDS
        found = {job.job_key: job for job in sorted(self._poller.look(), key=lambda job: self._precedence(job, now))}
        for job_key in self._jobs.keys() - found.keys():
            if not any(end.job_key == job_key for end in self._report.ends):
                self._drop(job_key)
        if self._stops:
            return
        demands = {key: self._demand(job) for key, job in found.items()}
        for job_key, share in schedule.shares(self._settings.child_slots, demands).items():
            if job_key not in self._jobs and share:
                self._begin(job_key)
            if job_key in self._jobs:
                self._jobs[job_key].share = share
                self._jobs[job_key].more = found[job_key].has_queued

    def _precedence(self, found: OpenJob, now: float) -> tuple[bool, int, int]:
        """Jobs with the fewest slots come first, but one that just got a child keeps it for a moment."""
        job = self._jobs.get(found.job_key)
        settled = job is None or not job.children or now - job.begun_at > _QUANTUM_SECONDS
        return settled, found.slots, found.job_key

    def _demand(self, found: OpenJob) -> int:
        capacity = self._settings.child_slots
        allowed = min(capacity, (found.num_tasks or capacity) - (found.slots - found.own_slots))
        if found.has_queued:
            return max(0, allowed)
        job = self._jobs.get(found.job_key)
        in_memory = len(job.backlog) + sum(bool(child.in_flight) for child in job.children) if job else 0
        return max(0, min(allowed, in_memory))

    def _begin(self, job_key: int) -> None:
        item = self._poller.load(job_key)
        if item is None:
            return
        deadline = None if item.seconds_left is None else time.monotonic() + item.seconds_left
        self._jobs[job_key] = ActiveJob(item, deadline=deadline, begun_at=time.monotonic())

    def _work(self) -> None:
        """Claim what is needed, and hand it to children."""
        for job_key, job in list(self._jobs.items()):
            self._claim(job)
            self._staff(job)
            self._feed(job)
            if not job.busy and not job.more:
                self._leave(job_key)
            elif job.share == 0 and not job.children:
                self._poller.give_back(job.backlog)
                self._leave(job_key)
        self._top_up()

    def _claim(self, job: ActiveJob) -> None:
        limit = schedule.claim_limit(max(1, job.share), job.mean_seconds)
        wanted = limit - len(job.backlog) if job.more and job.share and not self._stops else 0
        resize = job.share != job.slots and len(job.children) <= job.share
        if wanted <= limit // 2 and not resize:
            return
        job.slots, claimed = self._poller.claim(job.item, slots=job.share, limit=max(0, wanted))
        job.backlog.extend(claimed)
        if job.slots:
            job.more = job.more and len(claimed) >= wanted
        job.share = min(job.share, job.slots)  # others reached the cap, or the job has ended: the next look tells

    def _staff(self, job: ActiveJob) -> None:
        entitled = min(job.share, job.slots)
        staying = [child for child in job.children if not child.leaving and not child.stopping]
        for child in staying[entitled:]:
            child.leaving = True
            if child.ready:
                job.backlog.extendleft(reversed(child.take_back()))
        missing = min(entitled - len(staying), len(job.backlog))
        for _ in range(missing):
            if len(job.children) >= job.slots:  # those that leave count until they are gone
                return
            standby = self._pool.standby()
            self._bind(job, standby[0] if standby else self._pool.start())

    def _bind(self, job: ActiveJob, child: Child) -> None:
        child.load(job.item)
        self._top_up_due = time.monotonic() + _TOP_UP_SECONDS
        job.children.append(child)
        self._selector.register(child.sock, selectors.EVENT_READ, None)

    def _feed(self, job: ActiveJob) -> None:
        ahead = schedule.ahead(job.mean_seconds)
        for child in job.children:
            if child.leaving:
                if not child.in_flight:
                    self._forget_socket(child)
                    child.retire()
                continue
            while job.backlog and len(child.in_flight) < ahead and not child.stopping:
                if not child.give(job.backlog[0]):
                    break
                job.backlog.popleft()
        if not job.backlog:
            self._rebalance(job)

    def _rebalance(self, job: ActiveJob) -> None:
        """Take tasks back from behind a slow one, when another child of the job has nothing to do."""
        idle = [child for child in job.children if child.ready and not child.in_flight and not child.leaving]
        if not idle:
            return
        for child in job.children:
            if len(child.in_flight) > 1 and child.ready:
                job.backlog.extend(child.take_back())
        for child in idle:
            if job.backlog and child.give(job.backlog[0]):
                job.backlog.popleft()

    def _top_up(self) -> None:
        """Keep some children standing by, so that the next job pays no start-up; not while one is being started."""
        if not self._stops and (not self._jobs or time.monotonic() >= self._top_up_due):
            for _ in range(_STANDBY - len(self._pool.standby())):
                self._pool.start()

    # ------------------------------------------------------------------------------------------ ends of things

    def _leave(self, job_key: int) -> None:
        """Stop working for a job that has nothing left to hand out."""
        if any(end.job_key == job_key for end in self._report.ends):
            return  # its end is not written yet
        if self._jobs[job_key].slots:
            self._poller.release_slots(job_key)
        self._retire(self._jobs.pop(job_key))

    def _retire(self, job: ActiveJob | None) -> None:
        """Let a job's children end: there is nothing more for them."""
        for child in job.children if job else ():
            self._forget_socket(child)
            child.retire()
        self._look_due = 0.0

    def _drop(self, job_key: int) -> None:
        """Stop a job's children at once: it has ended, or must not go on here."""
        job = self._jobs.pop(job_key, None)
        if job is None:
            return
        for child in job.children:
            self._forget_socket(child)
            child.in_flight.clear()
            if child.ready:
                child.begin_stop()
            else:
                child.retire()
                child.begin_stop()
        self._look_due = 0.0

    def _forget_socket(self, child: Child) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(child.sock)

    def _child_exited(self, child: Child, code: int) -> None:
        job = self._jobs.get(child.job_key) if child.job_key is not None else None
        if job is not None and child in job.children:
            sizes = (child.captures[0].size(), child.captures[1].size())
            self._hear(job, child)
            job.backlog.extendleft(reversed(child.take_back()))
            current = child.current()
            job.children.remove(child)
            if current is not None:
                self._died_in(job, child, current, sizes, code)
            elif not child.ready and not child.stopping and job.item.job_key not in self._failures:
                self._died_loading(job, code)
        self._forget_socket(child)
        child.close()

    def _died_in(self, job: ActiveJob, child: Child, dispatch: Dispatch, sizes: tuple[int, int], code: int) -> None:
        """Blame the run that was executing, and only that."""
        self._capture(child, dispatch, sizes, final=True)
        del child.in_flight[dispatch.number]
        reason = f"The child process died in run {dispatch.runs[0]}: {describe_exit(code)}"
        log.warning("child.died job_key=%d task=%d %s", job.item.job_key, dispatch.task.task, describe_exit(code))
        if dispatch.task.attempt < job.item.max_attempts:
            self._poller.give_back([dispatch], begun=True)
            job.more = True
            return
        attempts = f"attempt {dispatch.task.attempt} of {job.item.max_attempts}"
        outcome = Outcome(dispatch.runs[0], None, f"ChildDiedError: {reason} ({attempts}).", None)
        self._ended_run(job, None, dispatch, outcome, 0.0)
        if dispatch.runs:
            job.backlog.appendleft(dispatch)

    def _died_loading(self, job: ActiveJob, code: int) -> None:
        job.lost_children += 1
        if job.lost_children >= job.item.max_attempts:
            self._failures[job.item.job_key] = f"The child process died while it loaded the job: {describe_exit(code)}."

    def _start_over(self) -> None:
        """This worker was taken for dead: others have its tasks now. Begin again as a new one."""
        log.warning("worker.lease_lost worker=%s", self._poller.worker_id)
        for job_key in list(self._jobs):
            self._drop(job_key)
        self._report = Report()
        self._poller.register()

    # --------------------------------------------------------------------------------------------- signals

    def _listen_to_signals(self) -> None:
        woken, waker = socket.socketpair()
        woken.setblocking(False)
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self._selector.register(woken, selectors.EVENT_READ, None)
        self._signal_sockets = (woken, waker)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._stops += 1
        log.info("worker.stopping signal=%s %s", signal.Signals(number).name, "drain" if self._stops == 1 else "now")
        with suppress(BlockingIOError):
            self._signal_sockets[0].recv(4096)

    def _stop_now(self) -> None:
        """Write what is done, give back what is not, and end every child."""
        signal.set_wakeup_fd(-1)
        try:
            if self._report:
                self._poller.write(self._report)
            for job_key, job in self._jobs.items():
                begun = [current for child in job.children if (current := child.current()) is not None]
                waiting = [d for child in job.children for d in list(child.in_flight.values())[1:]]
                self._poller.give_back([*job.backlog, *waiting])
                self._poller.give_back(begun, begun=True)
                self._poller.release_slots(job_key)
            self._poller.stop()
        except StoreError:
            log.exception("worker.could_not_sign_off")
        self._pool.close()


def describe_exit(code: int) -> str:
    """Say how a process ended.

    Example:
        >>> describe_exit(3)
        'exit code 3'
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    likely = ", probably out of memory" if -code == signal.SIGKILL else ""
    return f"signal {name}{likely}"


def tell_ready(fd: int | None, text: str) -> None:
    """Tell the process that started this one how the start went."""
    if fd is not None:
        with suppress(OSError):
            os.write(fd, text.encode())
            os.close(fd)
