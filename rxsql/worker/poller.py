"""The worker's side of the store: one worker's row, its looks for work, its claims and its reports."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from rxsql.errors import PayloadError, SignatureError, StoreRefusedError
from rxsql.kinds import JobKind
from rxsql.models import RxRemoteJobStatus
from rxsql.pages import Spool
from rxsql.payload import PYTHON, Keyring, signing
from rxsql.sections import Section
from rxsql.store import jobs, reaping, scripts, storedfunctions, tasks, uploads, workers, workitems
from rxsql.store.scripts import InputPages
from rxsql.worker.capture import Quota
from rxsql.worker.damage import UNREADABLE, UNUSABLE, why_unusable
from rxsql.worker.dispatch import Dispatch
from rxsql.worker.folders import sweep

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rxsql.models import OpenJob, Task, WorkItem
    from rxsql.pages import Page
    from rxsql.reports import Outcome, Report, RunOutcome, Written
    from rxsql.settings import Settings
    from rxsql.store.engine import Store

log = logging.getLogger("rxsql.worker")
_LOOK_LIMIT = 1000
_LEAST_SILENCE_SECONDS = 3.0  # of a caller that waits in the database and looks each second
_UNLIMITED = Quota()


class Poller:
    """One registered worker, as the store sees it.

    Attributes:
        is_alone: Whether nobody else served the store when this one last looked.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._keyring = Keyring.from_settings(settings)
        self._next_number = 0
        self._heartbeat_due = self._beaten_at = _clock()
        self._reap_due = 0.0
        self._housekeeping_due = 0.0
        self.is_alone = False
        self.register()

    def register(self) -> None:
        """List this process as a new worker, and take over from workers of this host that died."""
        self.worker_id = f"{workers.this_host()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.worker_key = workers.register(
            self._store,
            worker_id=self.worker_id,
            python=PYTHON,
            version=version("rxsql"),
            slots=self._settings.child_slots,
            lease_seconds=self._settings.lease_seconds,
        )
        self._reap()

    def stop(self) -> None:
        """Write down that this worker has ended; what is still its own, unknown to itself, goes back."""
        self.give_back_unseen(self.held().values())
        reaping.reap(self._store, self.worker_key, f"The worker {self.worker_id} ended.")
        storedfunctions.sweep(self._store)  # what was left for the next job

    def stop_if_idle(self) -> bool:
        """End, unless a job has come in."""
        return workers.stop_if_idle(self._store, self.worker_key)

    @property
    def heartbeat_in(self) -> float:
        """Seconds until the lease is to be renewed."""
        return max(0.0, self._heartbeat_due - _clock())

    def keep_alive(self) -> bool:
        """Renew the lease when it is time, and clean up for others; False when this worker was taken for dead."""
        now = _clock()
        if now >= self._heartbeat_due:
            if not self._renew_lease():
                return False
            if now >= self._reap_due:
                self._reap()
            silence = max(_LEAST_SILENCE_SECONDS, self._settings.lease_seconds / 2)
            for job_key in scripts.abandoned_jobs(self._store, silence):
                reason = "The caller that waited for the job went away, or was canceled."
                if tasks.end_job(self._store, job_key, RxRemoteJobStatus.CANCELED, reason):
                    log.warning("job.abandoned job_key=%d", job_key)
        if now >= self._housekeeping_due:
            self._housekeeping_due = now + min(300.0, max(1.0, self._settings.retention_seconds / 10))
            purged = jobs.purge_expired(
                self._store,
                retention_seconds=self._settings.retention_seconds,
                tombstone_seconds=self._settings.tombstone_seconds,
            )
            if purged:
                log.info("jobs.purged count=%d", purged)
        return True

    def _renew_lease(self) -> bool:
        """Renew the lease; False when this worker was taken for dead."""
        now = _clock()
        if now > self._beaten_at + self._settings.lease_seconds:
            self.spare_others()  # the whole machine may have slept: they wake up, too
        if not workers.heartbeat(self._store, self.worker_key):
            return False
        self._beaten_at = now
        self._heartbeat_due = now + self._settings.lease_seconds / 3
        return True

    def _reap(self) -> None:
        others = workers.other_workers(self._store, but=self.worker_key)
        self.is_alone = not any(worker.is_alive for worker in others)
        for worker in workers.dead_workers(self._store, others):
            reason = f"The worker {worker.worker_id} died while it ran this task, which had no attempts left."
            try:
                reaping.reap(self._store, worker.worker_key, reason)
                log.warning("worker.reaped worker=%s", worker.worker_id)
            except StoreRefusedError as error:  # others are to be taken back from, and there is work to do
                log.warning("worker.not_reaped worker=%s error=%s", worker.worker_id, error)
        for job_key in reaping.end_stranded(self._store):
            log.warning("job.stranded job_key=%d", job_key)
        sweep()

    def look(self) -> list[OpenJob]:
        """Return the jobs there is work for, and those this worker holds slots on."""
        return tasks.open_jobs(self._store, self.worker_key, PYTHON, limit=_LOOK_LIMIT)

    def load(self, job_key: int) -> WorkItem | None:
        """Return what is needed to run a job, or None when it has ended; one that is damaged or refused fails here."""
        try:
            item = workitems.work_item(self._store, job_key)
            return None if item is None else self._checked(item)
        except UNUSABLE as error:
            self.fail(job_key, why_unusable(error))
            return None

    def _checked(self, item: WorkItem) -> WorkItem:
        self._keyring.check_job(item)
        if item.shared_input is None or item.kind is not JobKind.FUNCTION:
            return item
        shared = self._keyring.unseal(item.shared_input, signing.shared_input(item.job_id))
        return item if shared is item.shared_input else replace(item, shared_input=shared)

    def claim(self, item: WorkItem, *, slots: int, held: int, limit: int) -> tuple[int, list[Dispatch]]:
        """Take slots and claim tasks, with their inputs and what earlier attempts have finished.

        A job whose rows make that impossible fails here: nothing else waits for it.
        """
        try:
            return self._claim(item, slots=slots, held=held, limit=limit)
        except UNREADABLE as error:
            self.fail(item.job_key, why_unusable(error))
            return 0, []

    def _claim(self, item: WorkItem, *, slots: int, held: int, limit: int) -> tuple[int, list[Dispatch]]:
        granted, claimed = tasks.claim(
            self._store, self.worker_key, item.job_key, slots_wanted=slots, slots_held=held, limit=limit
        )
        for task in claimed:
            if not 0 <= task.first_run <= task.first_run + task.run_count <= item.run_count:
                raise PayloadError(f"The row of task {task.task} names runs that the job does not have.")
            if not isinstance(task.attempt, int):  # SQLite goes on with 2**63 as a fraction
                raise PayloadError(f"The row of task {task.task} counts its attempts wrongly.")
        apart: Mapping[int, bytes | Spool | Section | InputPages] = {}
        if item.has_inputs:
            wanted = [task.task for task in claimed if task.input is None]
            apart = self._apart(item, wanted) if wanted else {}
        return granted, [self._dispatch(item, task, apart.get(task.task)) for task in claimed]

    def _apart(self, item: WorkItem, wanted: list[int]) -> Mapping[int, bytes | Spool | Section | InputPages]:
        if item.kind is JobKind.FUNCTION:
            return tasks.task_inputs(self._store, item.job_key, wanted)
        return scripts.task_pages(self._store, item.job_key, wanted)

    def _dispatch(
        self, item: WorkItem, task: Task, apart: bytes | Spool | Section | InputPages | None
    ) -> Dispatch:
        self._next_number += 1
        done: dict[int, str | None] = {}
        if task.run_count > 1 and (task.attempt > 1 or item.max_attempts == 1):
            done = tasks.runs_with_results(self._store, item.job_key, task)
        limit = self._settings.console_bytes
        dispatch = Dispatch.of(self._next_number, task, done, Quota(limit) if limit else _UNLIMITED)
        if done:
            failed = [error for error in done.values() if error is not None]
            dispatch.failed_runs, dispatch.error = len(failed), next(iter(failed), None)
        if isinstance(apart, InputPages):
            dispatch.unread = apart
        else:
            self.give_input(item, dispatch, task.input if task.input is not None else apart)
        return dispatch

    def give_input(self, item: WorkItem, dispatch: Dispatch, body: bytes | Spool | Section | None) -> None:
        """Give a task its input, or the reason for which no child may have it."""
        try:
            dispatch.input = self._input(item, dispatch.task, body)
        except (PayloadError, SignatureError) as error:
            dispatch.refused = f"{type(error).__name__}: {error}"

    def _input(
        self, item: WorkItem, task: Task, body: bytes | Spool | Section | None
    ) -> bytes | Spool | Section:
        if not item.has_inputs:
            return b""
        if body is None or (item.kind is not JobKind.FUNCTION and not isinstance(body, Spool)):
            raise PayloadError(
                f"The input of task {task.task} is not in the store any more. Submit the job again."
            )
        if isinstance(body, Spool):
            return body
        head = body.head(len(signing.MAGIC)) if isinstance(body, Section) else body
        if isinstance(head, bytes) and self._keyring.ignores(head):
            return body  # of a section the child reads it where it is
        subject = signing.task_input(item.job_id, task.task, task.first_run, task.run_count)
        return self._keyring.unseal(body.read() if isinstance(body, Section) else body, subject)

    def sealed(self, item: WorkItem, outcome: Outcome) -> Outcome:
        """Return an outcome with its payload signed, where there is a key."""
        if outcome.value is None or not self._keyring.signs:
            return outcome
        subject = signing.result(item.job_id, outcome.run, failed=outcome.failed)
        return replace(outcome, value=self._keyring.seal(outcome.value, subject))

    def write(self, news: Report) -> Written:
        """Write back; tell which tasks are not this worker's any more, and which jobs ended with it."""
        return tasks.report(self._store, self.worker_key, news)

    def add_pages(
        self, entry: RunOutcome, pages: Sequence[Page], *, anew: bool, are_plain: bool = False
    ) -> bool:
        """Write pages of a result, `anew` instead of those that are there; False when the task is not ours any more."""
        return uploads.add_pages(self._store, self.worker_key, entry, pages, anew=anew, are_plain=are_plain)

    def release_slots(self, job_key: int) -> None:
        """Give up a job's slots."""
        tasks.release_slots(self._store, self.worker_key, job_key)

    def give_back(self, dispatches: Collection[Dispatch], *, keep_up_to: int = 0) -> None:
        """Return tasks to the queue; each gets its attempt back, but where that is among the first `keep_up_to`."""
        if dispatches:
            pairs = [(d.task, d.task.attempt - (d.task.attempt > keep_up_to)) for d in dispatches]
            tasks.release(self._store, self.worker_key, pairs)

    def spare_others(self) -> None:
        """Take nobody for dead for a lease: who could not reach the store itself does not know who else could not."""
        self._reap_due = _clock() + self._settings.lease_seconds

    def held(self) -> dict[tuple[int, int], Task]:
        """Return the tasks that are this worker's as the store sees it, by job key and number."""
        return {task.key: task for task in tasks.held_tasks(self._store, self.worker_key)}

    def give_back_unseen(self, claimed: Collection[Task]) -> None:
        """Return tasks to the queue that were claimed and never arrived here."""
        if claimed:
            log.warning("tasks.returned count=%d", len(claimed))
            tasks.release(self._store, self.worker_key, [(task, task.attempt - 1) for task in claimed])

    def fail(self, job_key: int, reason: str) -> None:
        """End a job as failed for a reason of its own."""
        try:
            is_ended = tasks.end_job(self._store, job_key, RxRemoteJobStatus.FAILED, reason)
        except StoreRefusedError as error:  # it would be for ever, and other jobs wait
            log.warning("job.not_ended job_key=%d error=%s", job_key, error)
            return
        if is_ended:
            log.warning("job.failed job_key=%d reason=%s", job_key, reason.partition("\n")[0])


def _clock() -> float:
    """Return seconds that go on while the machine sleeps, as the database's clock does."""
    if sys.platform.startswith("linux"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
