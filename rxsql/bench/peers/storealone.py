"""The store without worker, children and pickles: what a durable task costs at least."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from rxsql.bench.figures import STORE_ALONE
from rxsql.models import NewJob, NewTask
from rxsql.reports import Outcome, Report, RunOutcome, TaskEnd
from rxsql.sections import Section
from rxsql.store import jobs, outputs, reaping, tasks, workers
from rxsql.store.engine import open_store
from rxsql.store.submission import add_job

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rxsql.models import Task

_BATCH = 128
_INLINE_BYTES = 512
_PYTHON = "bench"  # no worker has this version, so none takes these tasks
_LEASE_SECONDS = 3600.0


class StoreAlone:
    """Submits, claims, completes and collects tasks, all in this process."""

    name = STORE_ALONE
    cannot = frozenset({"spin"})
    is_slow = False

    def __init__(self, store: str) -> None:
        self._store = open_store(store)

    def start(self, _children: int, _folder: Path) -> None:
        """List a worker that has no process of its own."""
        self._worker = workers.register(
            self._store,
            worker_id=f"bench-{secrets.token_hex(4)}",
            python=_PYTHON,
            version="bench",
            slots=1,
            lease_seconds=_LEASE_SECONDS,
        )

    def run(self, _work: str, arguments: Sequence[Any]) -> list[Any]:
        """Take tasks with these arguments through the store; the results are the arguments."""
        bodies = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in arguments]
        job_id, job_key = self.submit(bodies)
        done = 0
        while done < len(bodies):
            done += self.complete(job_key, _BATCH)
        outcomes = outputs.fetch_outcomes(self._store, job_key, after=-1, limit=len(bodies))
        state = jobs.job_state(self._store, job_id)
        assert state is not None
        jobs.purge_ended(self._store, state)
        return [outcome.value for outcome in outcomes]

    def submit(self, bodies: Sequence[bytes]) -> tuple[str, int]:
        """Submit a job with a task for each body; return its id and key."""
        job_id = f"bench-{secrets.token_hex(8)}"
        job = NewJob(
            job_id=job_id,
            name="bench",
            function=b"bench",
            shared_input=None,
            tasks=[NewTask(first_run=run, run_count=1, input=body) for run, body in enumerate(bodies)],
            has_inputs=True,
            num_tasks=0,
            max_attempts=1,
            continue_on_failure=True,
            packages_to_load=(),
            execution_timeout_seconds=0,
            auto_cleanup=True,
            console_output=False,
            context="{}",
            python=_PYTHON,
            submitted_by="bench",
            run_count=len(bodies),
        )
        return job_id, add_job(self._store, job, inline_bytes=_INLINE_BYTES)

    def complete(self, job_key: int, limit: int) -> int:
        """Look, claim so many tasks, and write their ends with their inputs as results; return how many they were."""
        tasks.open_jobs(self._store, self._worker, _PYTHON, limit=10)
        claimed = tasks.claim(self._store, self._worker, job_key, slots_wanted=1, limit=limit)[1]
        apart = [task.task for task in claimed if task.input is None]
        bodies = tasks.task_inputs(self._store, job_key, apart) if apart else {}
        tasks.report(
            self._store,
            self._worker,
            Report(
                outcomes=[_outcome(task, _loaded(bodies.get(task.task, task.input))) for task in claimed],
                ends=[_end(task) for task in claimed],
            ),
        )
        return len(claimed)

    def purge(self, job_id: str) -> None:
        """Remove a job, whatever is left of it."""
        jobs.purge(self._store, job_id)

    def stop(self) -> None:
        """Take the worker off the list."""
        reaping.reap(self._store, self._worker, "")


def _loaded(body: bytes | Section | None) -> bytes | memoryview | None:
    return body.view() if isinstance(body, Section) else body


def _outcome(task: Task, body: bytes | memoryview | None) -> RunOutcome:
    return RunOutcome(task.job_key, task.task, task.attempt, Outcome(task.first_run, body))


def _end(task: Task) -> TaskEnd:
    return TaskEnd(
        job_key=task.job_key, task=task.task, attempt=task.attempt, failed_runs=0, seconds=0.0, error=None
    )
