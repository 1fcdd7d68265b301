"""The worker's loop: one thread that hears children, database and signals, and lets each part do its step."""

from __future__ import annotations

import logging
import select
import selectors
import signal
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rxsql.errors import StoreError
from rxsql.store.retry import growing
from rxsql.worker.dispatcher import LOOK_SECONDS, Dispatcher
from rxsql.worker.exits import Exit
from rxsql.worker.poller import Poller
from rxsql.worker.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Collection

    from rxsql.settings import Settings
    from rxsql.store.engine import Store
    from rxsql.worker.activejob import ActiveJob
    from rxsql.worker.pool import Pool

log = logging.getLogger("rxsql.worker")
# Between looks for a change shortly after there was work: where nothing hints at it, and where something does, but two
# who write at once give one hint.
_BUSY_SECONDS, _BUSY_HINTED_SECONDS = 0.005, 0.02
_BUSY_FOR_SECONDS = 1.0  # after work
_LEAST_AT_WORK_SECONDS = 0.003  # between looks for what is being written, while children have the processor
_SELECTABLE = 1024  # from here on `select` takes no descriptor
_LONGEST_PAUSE_SECONDS = 2.0  # between attempts while the store is out of reach


class Supervisor:
    """Runs until it is told to end, or has been idle for long enough."""

    def __init__(self, store: Store, settings: Settings, pool: Pool, *, exit_when_idle: bool = False) -> None:
        self._label = store.label
        self._pool = pool
        self._poller = Poller(store, settings)
        self._wakeup = store.wakeup()
        self._jobs: dict[int, ActiveJob] = {}
        self._reporter = Reporter(self._poller, self._jobs)
        self._selector = selectors.DefaultSelector()
        self._dispatcher = Dispatcher(
            settings, self._poller, pool, self._reporter, self._jobs, self._selector
        )
        self._idle_exit = settings.idle_exit_seconds if exit_when_idle else None
        self._last_work = time.monotonic()
        self._ask_due = 0.0
        self._stops = 0
        self._trouble = 0
        # Back soon enough after an outage to renew the lease before others take this worker for dead.
        self._longest_pause = min(_LONGEST_PAUSE_SECONDS, settings.lease_seconds / 4)

    def run(self) -> None:
        """Work until the end, then give everything back."""
        log.info("worker.started worker=%s store=%s", self._poller.worker_id, self._label)
        try:
            while not self._finished():
                self._turn()
        finally:
            self._sign_off()
            log.info("worker.stopped worker=%s", self._poller.worker_id)

    def _turn(self) -> None:
        try:
            changed, speakers = self._wait()
            self._hear(speakers)
            if self._stops and not self._dispatcher.draining:
                self._dispatcher.drain()
            if self._trouble:
                self._dispatcher.reconcile()
            self._reporter.tail()
            self._dispatcher.downloads.step()
            self._dispatcher.feed()
            # Nor should a new job wait for the disk, or one for which there is a place now.
            is_served = changed or self._dispatcher.look_due == 0.0
            if is_served:
                self._dispatcher.look()
                self._dispatcher.work()
            self._reporter.upload()
            has_written = self._write()
            if not self._poller.keep_alive():
                self._start_over()
            if has_written or time.monotonic() >= self._dispatcher.look_due:
                self._dispatcher.look()
                is_served = False
            if not is_served:
                self._dispatcher.work()
            self._pool.escalate()
            self._trouble = 0
        except StoreError as error:
            # What is not written stays in memory, and children work on.
            self._trouble += 1
            pause = growing(self._trouble, longest=self._longest_pause)
            log.warning("store.trouble retry_seconds=%.2f error=%s", pause, error)
            time.sleep(pause)

    def _wait(self) -> tuple[bool, set[Any]]:
        """Wait for something to happen; return whether the store has changed, and whose sockets have something."""
        hint = self._wakeup.fileno(knocks_only=self._is_busy)
        can_hear = hint is not None and hint < _SELECTABLE  # else there are the looks
        # The selector itself rounds up to milliseconds.
        heard: list[Any] = [self._selector, hint] if can_hear else [self._selector]
        some, _, _ = select.select(heard, [], [], self._timeout(can_hear=can_hear))
        has_hint = can_hear and hint in some
        if has_hint:
            self._wakeup.drain()
        speakers = {key.fileobj for key, _ in self._selector.select(0)} if self._selector in some else set()
        if self._signals[0] in speakers:
            with suppress(BlockingIOError):
                self._signals[0].recv(4096)
        # Woken by children alone, it need not ask, but for those who write without a knock.
        now = time.monotonic()
        if (
            has_hint
            or not can_hear
            or not speakers
            or self._wakeup.look_in is not None
            or now >= self._ask_due
        ):
            self._ask_due = now + _BUSY_HINTED_SECONDS
            return self._wakeup.changed(), speakers
        return False, speakers

    def _timeout(self, *, can_hear: bool = True) -> float:
        now = time.monotonic()
        if self._reporter.is_uploading or self._dispatcher.downloads:
            return 0.0
        report_due = self._reporter.due_in
        if report_due is not None:
            return min(report_due, self._reporter.tail_in) if self._jobs else report_due
        look_in = self._wakeup.look_in
        if self._jobs:
            tail_in = self._reporter.tail_in
            return tail_in if look_in is None else min(tail_in, max(_LEAST_AT_WORK_SECONDS, look_in))
        if look_in is not None:
            return look_in
        if self._is_busy or any(child.stopping for child in self._pool.children.values()):
            return _BUSY_HINTED_SECONDS if can_hear else _BUSY_SECONDS
        return max(0.0, min(LOOK_SECONDS, self._dispatcher.look_due - now, self._poller.heartbeat_in))

    @property
    def _is_busy(self) -> bool:
        """Whether there was work a moment ago, so that it looks often, whoever writes without a knock."""
        return bool(self._jobs) or time.monotonic() - self._last_work < _BUSY_FOR_SECONDS

    def _hear(self, speakers: Collection[Any]) -> None:
        try:
            ended = self._pool.ended() if self._pool.control in speakers else []
        except EOFError:
            self._zygote_died()
            return
        for number, end in ended:
            self._dispatcher.child_exited(self._pool.children.pop(number), end)
        for job in list(self._jobs.values()):
            for child in job.children:
                if child.sock in speakers:
                    self._reporter.hear(job, child)

    def _zygote_died(self) -> None:
        log.warning("zygote.died")
        self._selector.unregister(self._pool.control)
        for child in list(self._pool.children.values()):
            self._dispatcher.child_exited(child, Exit(-signal.SIGKILL))
        self._pool.restart()
        self._selector.register(self._pool.control, selectors.EVENT_READ)

    def _write(self) -> bool:
        """Write the report when it is time, and end jobs that are to end; whether somebody else has written, too."""
        changed = False
        if self._dispatcher.write():
            self._last_work = time.monotonic()
            # What was heard is our own writing, and may be that of who saw it and submitted the next job at once.
            changed = self._wakeup.drain() and self._wakeup.changed()
        overdue = {job_key for job_key, job in self._jobs.items() if job.is_overdue}
        for job_key in overdue:
            limit = f"execution_timeout_seconds of {self._jobs[job_key].item.execution_timeout_seconds} s"
            self._reporter.failures[job_key] = f"The job ran longer than its {limit} and was ended."
        while self._reporter.failures:
            job_key, reason = next(iter(self._reporter.failures.items()))
            self._poller.fail(job_key, reason)
            del self._reporter.failures[job_key]
            self._dispatcher.drop(job_key, is_overdue=job_key in overdue)
        return changed

    # ------------------------------------------------------------------------------- beginning and ending

    def _finished(self) -> bool:
        if self._stops:
            is_done = not self._reporter.is_uploading and not any(job.busy for job in self._jobs.values())
            return self._stops > 1 or (self._dispatcher.draining and is_done)
        if self._idle_exit is None or self._jobs or time.monotonic() - self._last_work < self._idle_exit:
            return False
        with suppress(StoreError):
            if self._poller.stop_if_idle():
                return True
        self._last_work = time.monotonic()
        return False

    def _start_over(self) -> None:
        """This worker was taken for dead: others have its tasks now. Begin again as a new one."""
        log.warning("worker.lease_lost worker=%s", self._poller.worker_id)
        for job_key in list(self._jobs):
            self._dispatcher.drop(job_key)
        self._reporter.clear()
        self._poller.register()

    def stop(self) -> None:
        """End at the next turn, as after a second signal."""
        self._stops = 2

    def listen(self) -> None:
        """Listen to the zygote, the store's hints and signals."""
        self._signals = socket.socketpair()
        for end in self._signals:
            end.setblocking(False)
        signal.set_wakeup_fd(self._signals[1].fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._selector.register(self._pool.control, selectors.EVENT_READ)
        self._selector.register(self._signals[0], selectors.EVENT_READ)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._stops += 1
        log.info(
            "worker.stopping signal=%s %s",
            signal.Signals(number).name,
            "drain" if self._stops == 1 else "now",
        )

    def _sign_off(self) -> None:
        """Write what is done, give back what is not, and end every child."""
        try:
            self._reporter.abandon()
            self._dispatcher.give_everything_back()
            self._poller.stop()
        except StoreError as error:
            log.warning("worker.could_not_sign_off error=%s", error)
        self._pool.close()
        self._wakeup.close()
        self._selector.close()
        signal.set_wakeup_fd(-1)
        for end in self._signals:
            end.close()
