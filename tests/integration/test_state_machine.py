"""The store against a model: any order of its operations, late and replayed ones included, on every kind of database."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import servers
import sqlalchemy as sa
from conftest import STORES
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from storemodel import ModelJob, ModelTask
from support import new_job, register, rows_of

from rxsql.errors import JobExistsError
from rxsql.models import NewTask, RxRemoteJobStatus, Task
from rxsql.reports import ConsoleChunk, Outcome, Report, RunOutcome, TaskEnd
from rxsql.store import jobs, outputs, reaping, tasks, workers
from rxsql.store.engine import Store
from rxsql.store.submission import add_job

PYTHON = "3.11"
DIED = "the worker died"
pick = st.integers(min_value=0, max_value=2**16)


class StoreMachine(RuleBasedStateMachine):
    """Does to the store what clients, workers and reapers do, and to the model the same."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        servers.clear(self.store)
        self.jobs: dict[int, ModelJob] = {}
        self.workers: dict[int, bool] = {}  # whether they are alive
        self.claims: list[tuple[int, Task, set[int]]] = []  # each with its worker and the runs it need not do
        self.reports: list[tuple[int, Report]] = []
        self.told: dict[int, int] = {}  # the number of each worker's last report that was accepted
        self.attempts: dict[tuple[int, int], int] = {}
        self.given_back: set[tuple[int, int]] = set()
        self.count = itertools.count(1)

    @initialize()
    def begin(self) -> None:
        self.register()
        self.register()
        self.submit(3, 1, 2, 3, True)
        self.claim(0, 0, 2, 2)

    def any_of(self, found: Any, number: int) -> Any:
        chosen = list(found)
        return chosen[number % len(chosen)]

    # ------------------------------------------------------------------------------------------- clients

    @rule(
        count=st.integers(1, 4),
        chunk=st.integers(1, 3),
        num_tasks=st.integers(0, 3),
        max_attempts=st.integers(1, 3),
        go_on=st.booleans(),
    )
    def submit(self, count: int, chunk: int, num_tasks: int, max_attempts: int, go_on: bool) -> None:
        job = new_job(
            f"job-{next(self.count)}",
            tasks=count,
            chunk=chunk,
            num_tasks=num_tasks,
            max_attempts=max_attempts,
            continue_on_failure=go_on,
            python=PYTHON,
        )
        self.jobs[add_job(self.store, job, inline_bytes=2)] = ModelJob.of(job)

    @rule(number=pick)
    def submit_a_taken_id(self, number: int) -> None:
        job = self.any_of(self.jobs.values(), number).given
        with pytest.raises(JobExistsError):
            add_job(self.store, job, inline_bytes=2)

    @rule(number=pick)
    def cancel(self, number: int) -> None:
        job = self.any_of(self.jobs.values(), number)
        assert jobs.cancel(self.store, job.given.job_id) == job.cancel()

    @rule(number=pick)
    def fail(self, number: int) -> None:
        key = self.any_of(self.jobs, number)
        ended = tasks.end_job(self.store, key, RxRemoteJobStatus.FAILED, "a limit")
        assert ended == self.jobs[key].end("failed")

    @rule(number=pick)
    def purge(self, number: int) -> None:
        job = self.any_of(self.jobs.values(), number)
        purged = jobs.purge(self.store, job.given.job_id)
        assert purged.results == (0 if job.status == "canceled" else len(job.results))
        job.purge()

    @rule(number=pick)
    def take(self, number: int) -> None:
        key = self.any_of(self.jobs, number)
        found = outputs.fetch_outcomes(self.store, key, after=-1, limit=100)
        assert [(o.run, o.failed) for o in found] == sorted(self.jobs[key].results.items())

    # ------------------------------------------------------------------------------------------- workers

    @rule()
    @precondition(lambda self: len(self.workers) < 5)
    def register(self) -> None:
        key = register(self.store, f"worker-{next(self.count)}")
        # All are this process: elsewhere, they are judged by their heartbeat.
        self.update("workers", f"host = 'elsewhere' WHERE worker_key = {key}")
        self.workers[key] = True

    def update(self, table: str, change: str) -> None:
        prefix = f"{self.store.dialect.schema}." if self.store.dialect.schema else ""
        with self.store.write() as connection:
            connection.exec_driver_sql(f"UPDATE {prefix}{table} SET {change}")

    @rule(number=pick, job=pick, wanted=st.integers(0, 3), limit=st.integers(0, 4))
    def claim(self, number: int, job: int, wanted: int, limit: int) -> None:
        worker, key = self.any_of(self.workers, number), self.any_of(self.jobs, job)
        model = self.jobs[key]
        held = model.slots.get(worker, 0) if model.is_open else 0
        granted, claimed = tasks.claim(
            self.store, worker, key, slots_wanted=wanted, slots_held=held, limit=limit
        )
        if not model.is_open:
            assert (granted, claimed) == (0, [])
            return
        assert granted == (held if held == wanted else model.take_slots(worker, wanted))
        assert [(task.task, task.attempt) for task in claimed] == (
            model.claim(worker, limit) if granted and limit else []
        )
        for task in claimed:
            done = tasks.runs_with_results(self.store, key, task)
            expected = {
                run: model.results[run] for run in model.tasks[task.task].runs if run in model.results
            }
            assert {run: error is not None for run, error in done.items()} == expected
            self.claims.append((worker, task, set(done)))

    @rule(number=pick)
    def look(self, number: int) -> None:
        worker = self.any_of(self.workers, number)
        found = tasks.open_jobs(self.store, worker, PYTHON, limit=100)
        expected = {
            (key, sum(job.slots.values()), job.slots.get(worker, 0), self.has_queued(job))
            for key, job in self.jobs.items()
            if job.is_open and (self.has_queued(job) or job.slots.get(worker))
        }
        assert {(job.job_key, job.slots, job.own_slots, job.has_queued) for job in found} == expected

    def has_queued(self, job: ModelJob) -> bool:
        return any(task.status == "queued" for task in job.tasks)

    @rule(number=pick, part=st.sampled_from(["lines", "some", "end"]), fail=st.booleans())
    @precondition(lambda self: self.claims)
    def report(self, number: int, part: str, fail: bool) -> None:
        """A worker tells about any task it has ever claimed: it need not be its own any more."""
        worker, task, done = self.any_of(self.claims, number)
        runs = [run for run in self.runs_of(task) if run not in done]
        text = f"line {next(self.count)}"
        chunk = ConsoleChunk(
            task.job_key, task.task, task.first_run, task.attempt, "stdout", 0, text, partial=False
        )
        news = Report(chunks=[chunk], number=next(self.count))
        if part != "lines":
            done |= set(runs[:1] if part == "some" else runs)
            news.outcomes += [self.outcome(task, run, fail) for run in (runs[:1] if part == "some" else runs)]
        if part == "end":
            failed = self.jobs[task.job_key].results
            failing = sum(failed.get(run, False) for run in self.runs_of(task) if run not in runs)
            failing += fail * len(runs)
            news.ends.append(
                TaskEnd(
                    job_key=task.job_key,
                    task=task.task,
                    attempt=task.attempt,
                    failed_runs=failing,
                    seconds=0.1,
                    error="E: no" if failing else None,
                )
            )
        self.reports.append((worker, news))
        self.send(worker, news)

    def runs_of(self, task: Task) -> range:
        return range(task.first_run, task.first_run + task.run_count)

    def outcome(self, task: Task, run: int, fail: bool) -> RunOutcome:
        ended = Outcome(run, None, "E: no") if fail else Outcome(run, b"value")
        return RunOutcome(task.job_key, task.task, task.attempt, ended)

    @rule(number=pick)
    @precondition(lambda self: self.reports)
    def report_again(self, number: int) -> None:
        """A worker that does not know whether its last report was written sends it again."""
        last = {worker: news for worker, news in self.reports}
        worker = self.any_of(last, number)
        self.send(worker, last[worker])

    def send(self, worker: int, news: Report) -> None:
        (key,) = {entry.job_key for entry in (*news.chunks, *news.outcomes, *news.ends)}
        written = tasks.report(self.store, worker, news)
        refused, ended = self.jobs[key].report(worker, news, new_lines=self.told.get(worker, 0) < news.number)
        self.told[worker] = max(news.number, self.told.get(worker, 0))
        assert written.refused == {(key, task) for task in refused}
        assert written.ended_jobs == ({key} if ended else set())

    @rule(number=pick, begun=st.booleans())
    @precondition(lambda self: self.claims)
    def release(self, number: int, begun: bool) -> None:
        worker, task, _ = self.any_of(self.claims, number)
        begun = begun and task.attempt < self.jobs[task.job_key].given.max_attempts
        attempt = task.attempt if begun else task.attempt - 1
        if not begun:
            self.given_back.add(task.key)
        tasks.release(self.store, worker, [(task, attempt)])
        self.jobs[task.job_key].release(worker, task, attempt)

    @rule(number=pick)
    def release_slots(self, number: int) -> None:
        """A worker leaves a job of which it holds no task."""
        worker = self.any_of(self.workers, number)
        for key, job in self.jobs.items():
            if not any(task.status == "running" and task.worker == worker for task in job.tasks):
                tasks.release_slots(self.store, worker, key)
                job.slots.pop(worker, None)

    @rule(number=pick)
    def beat(self, number: int) -> None:
        worker = self.any_of(self.workers, number)
        assert workers.heartbeat(self.store, worker) is self.workers[worker]

    @rule(number=pick)
    @precondition(lambda self: sum(self.workers.values()) > 1)
    def expire(self, number: int) -> None:
        """A worker is silent for longer than its lease, and others take back what it held, late claims included."""
        worker = self.any_of([w for w, alive in self.workers.items() if alive], number)
        self.update("workers", f"lease_seconds = 0 WHERE worker_key = {worker}")
        self.workers[worker] = False
        self.reap()

    @rule(number=pick, part=st.sampled_from(["lines", "some", "end"]))
    @precondition(lambda self: self.held() and sum(self.workers.values()) > 1)
    def take_over(self, number: int, part: str) -> None:
        """A worker is taken for dead, what it held goes to another, and then it tells of it after all."""
        late = self.any_of(self.held(), number)
        worker, task, _ = self.claims[late]
        if self.workers[worker]:
            self.workers[worker] = False
            self.update("workers", f"lease_seconds = 0 WHERE worker_key = {worker}")
        self.reap()
        heir = next(place for place, key in enumerate(self.workers) if self.workers[key])
        self.claim(heir, list(self.jobs).index(task.job_key), 1, 100)
        self.report(late, part, fail=False)

    def held(self) -> list[int]:
        """The places of those claims that are still their worker's."""
        return [
            place
            for place, (worker, task, _) in enumerate(self.claims)
            if not self.jobs[task.job_key].purged
            and self.jobs[task.job_key].tasks[task.task].is_held(worker, task.attempt)
        ]

    @rule()
    @precondition(lambda self: any(self.workers.values()))
    def reap(self) -> None:
        reaper = next(worker for worker, alive in self.workers.items() if alive)
        for dead in workers.dead_workers(self.store, workers.other_workers(self.store, but=reaper)):
            assert self.workers[dead.worker_key] is False
            reaping.reap(self.store, dead.worker_key, DIED)
        for worker, alive in self.workers.items():
            if not alive:
                for job in self.jobs.values():
                    job.reap(worker)

    @rule(number=pick)
    @precondition(lambda self: sum(self.workers.values()) > 1)
    def sign_off(self, number: int) -> None:
        """A worker ends, whatever it still holds."""
        worker = self.any_of([w for w, alive in self.workers.items() if alive], number)
        reaping.reap(self.store, worker, DIED)
        self.workers[worker] = False
        for job in self.jobs.values():
            job.reap(worker)

    # ---------------------------------------------------------------------------------------- invariants

    @invariant()
    def rows_are_the_models(self) -> None:
        found = {
            (key, number): row
            for key, number, *row in rows_of(
                self.store,
                "SELECT job_key, task, status, attempt, worker_key, failed_runs FROM {rx}task_rows",
            )
        }
        expected = self.model_tasks()
        assert found.keys() == expected.keys()  # nothing is lost
        for key, (status, attempt, worker, failed) in found.items():
            task = expected[key]
            assert (status, attempt, failed) == (task.status, task.attempt, task.failed_runs)
            assert worker == task.worker

    def model_tasks(self) -> dict[tuple[int, int], ModelTask]:
        return {(key, n): task for key, job in self.jobs.items() for n, task in enumerate(job.tasks)}

    @invariant()
    def jobs_are_the_models(self) -> None:
        found = rows_of(self.store, "SELECT job_key, status FROM {rx}jobs ORDER BY job_key")
        assert found == sorted((key, job.status) for key, job in self.jobs.items())
        lines = [
            (key, text)
            for key in self.jobs
            for _, chunk in outputs.fetch_console(self.store, key, after=0, limit=1000)
            for text in chunk.lines
        ]
        assert lines == [(key, text) for key, job in self.jobs.items() for text in job.lines]

    @invariant()
    def each_task_has_one_completion(self) -> None:
        for task in self.model_tasks().values():
            assert task.completions <= 1
            assert task.completions == (task.status in ("finished", "failed")) or task.completions == 0

    @invariant()
    def attempts_grow_within_the_limit(self) -> None:
        for key, number, attempt, most in rows_of(
            self.store,
            "SELECT t.job_key, t.task, t.attempt, j.max_attempts FROM {rx}task_rows t"
            " JOIN {rx}jobs j ON j.job_key = t.job_key",
        ):
            before = self.attempts.get((key, number), 0)
            assert attempt >= before - ((key, number) in self.given_back)
            assert 0 <= attempt <= most
            self.attempts[key, number] = attempt
        self.given_back.clear()

    @invariant()
    def slots_are_within_the_cap_and_freed(self) -> None:
        found = rows_of(self.store, "SELECT job_key, worker_key, slots FROM {rx}slots WHERE slots > 0")
        assert sorted(found) == sorted(
            (key, w, n) for key, job in self.jobs.items() for w, n in job.slots.items() if n
        )
        for key, job in self.jobs.items():
            assert not job.given.num_tasks or sum(job.slots.values()) <= job.given.num_tasks
            assert job.is_open or not job.slots

    def teardown(self) -> None:
        """Whatever was left in the middle ends well: one more worker does all the rest."""
        key = register(self.store, "the last")
        for worker in self.workers:
            reaping.reap(self.store, worker, DIED)
            for job in self.jobs.values():
                job.reap(worker)
        for job_key in self.jobs:
            while claimed := tasks.claim(self.store, key, job_key, slots_wanted=1, limit=9)[1]:
                for task in claimed:
                    tasks.report(self.store, key, full_report(task))
        still = rows_of(self.store, "SELECT job_key FROM {rx}jobs WHERE status IN ('queued', 'running')")
        assert still == []
        assert rows_of(self.store, "SELECT * FROM {rx}slots") == []


def full_report(task: Task) -> Report:
    runs = range(task.first_run, task.first_run + task.run_count)
    end = TaskEnd(
        job_key=task.job_key, task=task.task, attempt=task.attempt, failed_runs=0, seconds=0, error=None
    )
    outcomes = [RunOutcome(task.job_key, task.task, task.attempt, Outcome(run, b"v")) for run in runs]
    return Report(outcomes=outcomes, ends=[end])


def run(store: Store, examples: int, *, random_seed: bool = False, report: bool = True) -> None:
    machine = type("Machine", (StoreMachine,), {"store": store})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            report_multiple_bugs=False,
            derandomize=not random_seed,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if report else [Phase.generate],
        ),
    )


EXAMPLES = {"sqlite": 45, "postgresql": 25}


@pytest.mark.parametrize("any_url", STORES, indirect=True)
def test_any_order_of_operations(store, campaign):
    """Whatever clients, workers and reapers do in whatever order, the store does as the model says."""
    run(store, EXAMPLES.get(store.dialect.name, 10) * campaign.factor, random_seed=campaign.is_long)


class Unfenced(Store):
    """A store whose writes ask neither for the attempt nor for the worker."""

    open_fence = ("AND task_rows.attempt = ", "AND task_rows.worker_key = ")

    def sql(self, name: str) -> sa.TextClause:
        statement = super().sql(name)
        if name not in ("own_tasks", "end_tasks"):
            return statement
        kept = [row for row in statement.text.splitlines() if not row.strip().startswith(self.open_fence)]
        # The list of conditions may begin with the one that was taken out.
        text = "\n".join(kept).replace("WHERE task_rows.worker_key = :worker_key AND", "WHERE")
        return sa.text(text)


@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_machine_finds_a_store_without_fence(store):
    """With its fence taken out the store does not do as the model says, and the machine tells."""
    spoiled = Unfenced(store.dialect)
    try:
        with pytest.raises(BaseException) as caught:
            run(spoiled, 100, report=False)
        assert any("AssertionError" in text for text in failures_in(caught.value))
    finally:
        spoiled.close()


def failures_in(error: BaseException) -> list[str]:
    parts = getattr(error, "exceptions", ())
    return [repr(error), *(text for part in parts for text in failures_in(part))]
