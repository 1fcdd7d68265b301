"""Finds work and hands it out: which jobs, how many children each, which tasks; and takes it back."""

from __future__ import annotations

import logging
import selectors
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from rxsql.reports import Outcome
from rxsql.worker import schedule
from rxsql.worker.activejob import ActiveJob
from rxsql.worker.downloads import Downloads
from rxsql.worker.standby import Standby

if TYPE_CHECKING:
    from rxsql.settings import Settings
    from rxsql.worker.dispatch import Dispatch
    from rxsql.worker.exits import Exit
    from rxsql.worker.poller import Poller
    from rxsql.worker.pool import Child, Pool
    from rxsql.worker.reporter import Reporter

log = logging.getLogger("rxsql.worker")
LOOK_SECONDS = 1.0  # between looks when nothing hints at a change
_QUANTUM_SECONDS = 0.25  # for which a job keeps a child that others could use


class Dispatcher:
    """Moves tasks from the store to children."""

    def __init__(
        self,
        settings: Settings,
        poller: Poller,
        pool: Pool,
        reporter: Reporter,
        jobs: dict[int, ActiveJob],
        selector: selectors.BaseSelector,
    ) -> None:
        self._settings = settings
        self._capacity = settings.child_slots
        self._poller = poller
        self._pool = pool
        self._reporter = reporter
        self._jobs = jobs
        self._selector = selector
        self._standby = Standby(pool)
        self.downloads = Downloads(poller, reporter, jobs)
        self._returns: list[Dispatch] = []  # tasks whose child died, on their way back to the queue
        self.look_due = 0.0
        self._has_others = False  # whether more than one job was found by the last look
        self.draining = False

    # ------------------------------------------------------------------------------------------- looking

    def look(self) -> None:
        """Ask the store for work, and divide this worker's children between the jobs that have some."""
        now = time.monotonic()
        self.look_due = now + LOOK_SECONDS
        fresh = {
            key for key, job in self._jobs.items() if job.children and now - job.begun_at <= _QUANTUM_SECONDS
        }
        found = {job.job_key: job for job in schedule.in_order(self._poller.look(), fresh)}
        self._has_others = len(found) > 1
        for job_key in self._jobs.keys() - found.keys():
            if not self._reporter.ends_task_of(job_key):
                self.drop(job_key)
        if self.draining:
            return
        demands = {
            key: schedule.demand(job, self._capacity, self._jobs[key].in_memory if key in self._jobs else 0)
            for key, job in found.items()
        }
        room = schedule.room(self._capacity, self._jobs.values())
        for job_key, share in schedule.shares(self._capacity, demands).items():
            if job_key not in self._jobs and share and room > 0:
                room -= self._begin(job_key)
            if job := self._jobs.get(job_key):
                job.share, job.more = share, found[job_key].has_queued

    def _begin(self, job_key: int) -> bool:
        item = self._poller.load(job_key)
        if item is None:
            return False
        job = self._jobs[job_key] = ActiveJob.begin(item)
        standby = self._pool.standby()
        if standby and self._poller.is_alone:  # others could be first, and this child would be wasted
            self._bind(job, standby[0])  # it loads the job while this process claims for it
        return True

    # --------------------------------------------------------------------------------------- handing out

    def feed(self) -> None:
        """Hand children what is here already, before anything is written: none should wait for the disk."""
        if not self.draining:
            for job_key, job in self._jobs.items():
                if job_key not in self._reporter.failures:
                    self._feed(job)

    def work(self) -> None:
        """Claim what is needed, and hand it to children."""
        for job_key, job in list(self._jobs.items()):
            if self.draining:
                self._poller.give_back(job.backlog)
                job.backlog.clear()
            else:
                self._claim(job)
            self._staff(job)
            self._feed(job)
            if not job.busy and not job.more:
                self._leave(job_key)
            elif job.share == 0 and not job.children:
                self._poller.give_back(job.backlog)
                job.backlog.clear()
                self._leave(job_key)
        if not self.draining:
            self._standby.fill()

    def _claim(self, job: ActiveJob) -> None:
        wanted = job.wanted
        resize = job.share != job.slots and len(job.children) <= job.share
        if not wanted and not resize:
            return
        job.slots, claimed = self._poller.claim(job.item, slots=job.share, held=job.slots, limit=wanted)
        if job.slots:
            job.more = job.more and len(claimed) >= wanted
        # Others may have reached the cap, or the job has ended: the next look tells.
        job.share = min(job.share, job.slots)
        to_run = [dispatch for dispatch in claimed if not self._reporter.settle(job, dispatch)]
        self._poller.give_back(job.take_in(to_run))
        self.downloads.put(to_run)

    def _staff(self, job: ActiveJob) -> None:
        if job.surplus:  # who ends a run next leaves, and so none may have another one at hand
            for child in job.children:
                job.backlog.extendleft(reversed(child.take_back()))
        idle = sum(not child.in_flight and not child.stopping for child in job.children)
        room = schedule.room(self._capacity, self._jobs.values())
        for _ in range(min(job.entitled - job.workforce, len(job.backlog) - idle, room)):
            if len(job.children) >= job.slots:  # those that leave count until they are gone
                return
            standby = self._pool.standby()
            self._bind(job, standby[0] if standby else self._pool.start())

    def _bind(self, job: ActiveJob, child: Child) -> None:
        child.load(job.item, self._settings)
        self._standby.take()
        job.children.append(child)
        self._selector.register(child.sock, selectors.EVENT_READ)

    def _feed(self, job: ActiveJob) -> None:
        surplus = job.surplus
        ahead = 1 if job.is_careful or surplus else schedule.ahead(job.mean_seconds)
        for child in job.children:
            if surplus and not child.in_flight and not child.stopping:
                self._forget_socket(child)
                child.retire()
                self.look_due = 0.0  # another job may have its place
                surplus -= 1
            while len(child.in_flight) < ahead and not child.stopping:
                if not job.hand_to(child):
                    break
        if not job.backlog:
            self._rebalance(job)

    def _rebalance(self, job: ActiveJob) -> None:
        """Take tasks back from behind a slow one, when another child of the job has nothing to do."""
        idle = [child for child in job.children if not child.in_flight and not child.stopping]
        for child in job.children if idle else ():
            if len(child.in_flight) > 1:
                job.backlog.extend(child.take_back())
        for child in idle:
            job.hand_to(child)

    # ----------------------------------------------------------------------------------------- taking back

    def write(self, *, now: bool = False) -> bool:
        """Let the reporter write when it is time, and leave the jobs that ended with it; whether it wrote."""
        # The next attempt must find the runs that this one has finished.
        written = self._reporter.write(now=now or bool(self._returns))
        if self._returns:
            self._poller.give_back(self._returns, keep_up_to=sys.maxsize)
            self._returns.clear()
        if written and written.refused:
            self.reconcile()  # the children that had those may have had others too
        for job_key in written.ended_jobs if written else ():
            self.retire(job_key)
        return written is not None

    def reconcile(self) -> None:
        """After trouble with the store, agree with it on what is here: answers to claims and returns may be lost."""
        self._poller.spare_others()
        held = self._poller.held()
        here = self._reporter.ended_tasks() | {dispatch.task.key for dispatch in self._returns}
        for job in self._jobs.values():
            job.backlog = deque(dispatch for dispatch in job.backlog if dispatch.task.key in held)
            here |= {dispatch.task.key for dispatch in job.dispatches}
        self._poller.give_back_unseen([task for key, task in held.items() if key not in here])

    def drain(self) -> None:
        """Begin nothing more: `work` gives back what no child has begun, and the rest ends."""
        self.draining = True
        for job in self._jobs.values():
            for child in job.children:
                job.backlog.extend(child.take_back())
            job.more = False

    def give_everything_back(self) -> None:
        """Return all tasks to the queue, those that run included."""
        for job_key, job in self._jobs.items():
            begun = [current for child in job.children if (current := child.current()) is not None]
            waiting = [d for child in job.children for d in list(child.in_flight.values())[1:]]
            self._poller.give_back([*job.backlog, *waiting])
            self._poller.give_back(begun, keep_up_to=job.item.max_attempts - 1)
            self._poller.release_slots(job_key)

    def _leave(self, job_key: int) -> None:
        """Stop working for a job that has nothing left to hand out."""
        if self._reporter.ends_task_of(job_key):
            return
        if self._jobs[job_key].slots:
            self._poller.release_slots(job_key)
        self.retire(job_key)

    def retire(self, job_key: int) -> None:
        """Let a job's children end: there is nothing more for them."""
        job = self._jobs.pop(job_key, None)
        for child in job.children if job else ():
            self._forget_socket(child)
            child.retire()
            self._standby.put_off()
        if self._has_others:  # they may have its children
            self.look_due = 0.0

    def drop(self, job_key: int, *, is_overdue: bool = False) -> None:
        """Stop a job's children at once: it has ended, its time is up, or it must not go on here."""
        job = self._jobs.pop(job_key, None)
        for child in job.children if job else ():
            self._forget_socket(child)
            child.victim = child.current() if is_overdue else None
            child.in_flight.clear()
            child.retire()  # should it outlive what follows
            child.begin_stop()
        self.look_due = 0.0

    def _forget_socket(self, child: Child) -> None:
        with suppress(KeyError):
            self._selector.unregister(child.sock)

    # ----------------------------------------------------------------------------------------------- deaths

    def child_exited(self, child: Child, end: Exit) -> None:
        """Take back what a dead child had not begun, and settle the run it was in."""
        job = self._jobs.get(child.job_key) if child.job_key is not None else None
        if job is not None and child in job.children:
            sizes = child.written()
            self._reporter.hear(job, child)
            job.backlog.extendleft(reversed(child.take_back()))
            current = child.current()
            job.children.remove(child)
            self.look_due = 0.0
            if current is not None:  # it has taken that, so it had loaded the job
                job.lost_children = 0
                self._reporter.capture(child, current, sizes, final=True)
                self._reporter.crash(child, current, end)
                self._blame(job, current, end)
            elif not child.has_loaded and not child.stopping:
                self._died_loading(job, end)
        elif child.victim is not None:
            self._reporter.crash(child, child.victim, end)
        self._forget_socket(child)
        child.close()
        self._standby.go_on()

    def _blame(self, job: ActiveJob, dispatch: Dispatch, end: Exit) -> None:
        """Blame the run that was executing, and only that: again while it has attempts left, else it has failed."""
        task, run = dispatch.task, dispatch.runs[0]
        how = end.describe(self._settings.memory_mb)
        log.warning("child.died job_key=%d task=%d %s", task.job_key, task.task, how)
        if task.attempt < job.item.max_attempts:
            self._returns.append(dispatch)
            job.more = True
            return
        reason = dispatch.died(end, job.item.max_attempts, self._settings.memory_mb)
        if not self._reporter.end_run(job, dispatch, Outcome(run, None, reason)):
            job.backlog.appendleft(dispatch)

    def _died_loading(self, job: ActiveJob, end: Exit) -> None:
        job.lost_children += 1
        if job.lost_children >= job.item.max_attempts:
            how = end.describe(self._settings.memory_mb)
            self._reporter.failures.setdefault(
                job.item.job_key, f"The child process died while it loaded the job: {how}."
            )
