"""What the store's operations mean, in memory and in a few lines: the model that the state machine holds it to."""

from __future__ import annotations

from dataclasses import dataclass, field

from rxsql.models import NewJob, Task
from rxsql.reports import Report

OPEN = ("queued", "running")


@dataclass
class ModelTask:
    first_run: int
    run_count: int
    status: str = "queued"
    attempt: int = 0
    worker: int | None = None
    failed_runs: int = 0
    completions: int = 0

    @property
    def runs(self) -> range:
        return range(self.first_run, self.first_run + self.run_count)

    def is_held(self, worker: int, attempt: int) -> bool:
        return (self.status, self.worker, self.attempt) == ("running", worker, attempt)


@dataclass
class ModelJob:
    given: NewJob
    tasks: list[ModelTask]
    status: str = "queued"
    slots: dict[int, int] = field(default_factory=dict)
    results: dict[int, bool] = field(default_factory=dict)  # runs, and whether they failed
    lines: list[str] = field(default_factory=list)
    purged: bool = False

    @classmethod
    def of(cls, job: NewJob) -> ModelJob:
        return cls(job, [ModelTask(task.first_run, task.run_count) for task in job.tasks])

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    def take_slots(self, worker: int, wanted: int) -> int:
        others = sum(slots for holder, slots in self.slots.items() if holder != worker)
        free = self.given.num_tasks - others if self.given.num_tasks else wanted
        granted = max(0, min(wanted, free))
        self.slots[worker] = granted
        if granted:
            self.status = "running"
        return granted

    def claim(self, worker: int, limit: int) -> list[tuple[int, int]]:
        """Return the claimed tasks with their attempts."""
        if not self.slots.get(worker):
            return []
        found = [number for number, task in enumerate(self.tasks) if task.status == "queued"][:limit]
        for number in found:
            task = self.tasks[number]
            task.status, task.worker, task.attempt = "running", worker, task.attempt + 1
        return [(number, self.tasks[number].attempt) for number in found]

    def release(self, worker: int, task: Task, attempt: int) -> None:
        mine = self.tasks[task.task] if not self.purged else None
        if mine is not None and mine.is_held(worker, task.attempt):
            mine.status, mine.worker, mine.attempt = "queued", None, attempt

    def report(self, worker: int, news: Report, *, new_lines: bool) -> tuple[set[int], bool]:
        """Take in a report about this job; return the refused tasks, and whether the job has ended with it."""
        touched = {(x.task, x.attempt) for x in (*news.chunks, *news.outcomes, *news.ends)}
        held = {(t, a) for t, a in touched if not self.purged and self.tasks[t].is_held(worker, a)}
        for entry in news.outcomes:
            if (entry.task, entry.attempt) in held:
                self.results.setdefault(entry.outcome.run, entry.outcome.failed)
        for chunk in news.chunks:
            if (chunk.task, chunk.attempt) in held and new_lines:
                self.lines += chunk.lines
        for end in news.ends:
            if (end.task, end.attempt) in held:
                task = self.tasks[end.task]
                task.status = "failed" if end.failed_runs else "finished"
                task.failed_runs = end.failed_runs
                task.completions += 1
        return {t for t, _ in touched - held}, bool(news.ends) and self.finish()

    def finish(self) -> bool:
        """End the job if none of its tasks is open; whether it did."""
        if not self.is_open or any(task.status in OPEN for task in self.tasks):
            return False
        failed = sum(task.failed_runs for task in self.tasks)
        stops = failed == self.given.run_count or (failed and not self.given.continue_on_failure)
        self.status = "failed" if stops else "finished"
        self.slots.clear()
        return True

    def end(self, status: str) -> bool:
        if not self.is_open:
            return False
        self.status = status
        for task in self.tasks:
            if task.status in OPEN:
                task.status = status if task.status == "running" else "canceled"
        self.slots.clear()
        return True

    def cancel(self) -> bool:
        if not self.end("canceled"):
            return False
        self.results.clear()
        self.lines.clear()
        return True

    def purge(self) -> None:
        self.end("canceled")
        self.results.clear()
        self.lines.clear()
        self.tasks.clear()
        self.purged = True

    def reap(self, worker: int) -> None:
        """Take back what a dead worker holds."""
        failed = False
        for task in self.tasks:
            if (task.status, task.worker) == ("running", worker):
                if task.attempt < self.given.max_attempts:
                    task.status, task.worker = "queued", None
                    continue
                for run in task.runs:
                    self.results.setdefault(run, True)
                task.status, task.completions = "failed", task.completions + 1
                task.failed_runs = sum(self.results[run] for run in task.runs)
                failed = True
        self.slots.pop(worker, None)
        if failed:
            self.finish()
