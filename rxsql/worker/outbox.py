"""Reports on their way into the store: in order, sent again until they are written, and none of them twice."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from rxsql.errors import StoreRefusedError
from rxsql.reports import Outcome, Report, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from rxsql.reports import RunOutcome, TaskEnd

log = logging.getLogger("rxsql.worker")


class Outbox:
    """Holds what the store has not confirmed: after a lost answer the same report is sent, under the same number.

    Args:
        failures: Where to note the jobs, with reasons, of which the store refuses even the plainest report.
    """

    def __init__(self, failures: dict[int, str]) -> None:
        self._reports: deque[Report] = deque()
        self._failures = failures
        self._number = 0

    def __bool__(self) -> bool:
        return bool(self._reports)

    def put(self, report: Report) -> None:
        """Add a report behind the others; it gets its number when it is sent."""
        self._reports.append(report)

    def ends(self) -> Iterator[TaskEnd]:
        """Yield the ends of tasks that are not confirmed."""
        for report in self._reports:
            yield from report.ends

    def send(self, write: Callable[[Report], Written]) -> Written | None:
        """Write what there is; return what came of it.

        A report that the store refuses for what is in it is split, until what is refused stands alone.
        """
        found: Written | None = None
        while self._reports:
            report = self._reports[0]
            if not report.number:
                self._number += 1
                report.number = self._number
            try:
                written = write(report)
            except StoreRefusedError as error:
                self._reports.popleft()
                self._reports.extendleft(reversed(self._without_cause(report, error)))
                continue
            self._reports.popleft()
            found = _together(found, written)
        return found

    def _without_cause(self, report: Report, error: StoreRefusedError) -> list[Report]:
        """Return a refused report as two halves; that of one task without its largest value, then without its lines.

        Where nothing is left to leave out, its job fails: the same would be refused for ever.
        """
        tasks = _tasks(report)
        if len(tasks) > 1:
            half = len(tasks) // 2
            return [_part(report, tasks[:half]), _part(report, tasks[half:])]
        (job_key, task), *_ = tasks
        if any(map(_size, report.outcomes)):
            log.warning("result.refused job_key=%d task=%d error=%s", job_key, task, error)
            return [_without_value(report, error)]
        if report.chunks or report.crashes:
            log.warning("console.refused job_key=%d task=%d error=%s", job_key, task, error)
            return [Report(number=0, outcomes=report.outcomes, ends=report.ends)]
        log.warning("task.refused job_key=%d task=%d error=%s", job_key, task, error)
        self._failures.setdefault(job_key, f"The end of task {task} could not be stored. {error}")
        return []


def _together(one: Written | None, other: Written) -> Written:
    if one is None:
        return other
    return Written(refused=one.refused | other.refused, ended_jobs=one.ended_jobs | other.ended_jobs)


def _tasks(report: Report) -> list[tuple[int, int]]:
    return sorted(
        {(e.job_key, e.task) for e in report.chunks}
        | {(e.job_key, e.task) for e in report.outcomes}
        | {(e.job_key, e.task) for e in report.ends}
        | {(e.job_key, e.task) for e in report.crashes}
    )


def _part(report: Report, tasks: Collection[tuple[int, int]]) -> Report:
    return Report(
        number=0,
        chunks=[entry for entry in report.chunks if (entry.job_key, entry.task) in tasks],
        outcomes=[entry for entry in report.outcomes if (entry.job_key, entry.task) in tasks],
        ends=[entry for entry in report.ends if (entry.job_key, entry.task) in tasks],
        crashes=[entry for entry in report.crashes if (entry.job_key, entry.task) in tasks],
    )


def _without_value(report: Report, error: StoreRefusedError) -> Report:
    """Return a task's report in which the run has failed that has the largest value."""
    largest = max(report.outcomes, key=_size)
    was = largest.outcome
    reason = f"{type(error).__name__}: The result could not be stored. {error}"
    failed = replace(largest, outcome=Outcome(was.run, None, was.error or reason, was.traceback), pages=None)
    return Report(
        number=0,
        chunks=report.chunks,
        outcomes=[failed if entry is largest else entry for entry in report.outcomes],
        ends=[
            replace(end, failed_runs=end.failed_runs + (not was.failed), error=end.error or reason)
            for end in report.ends
        ],
        crashes=report.crashes,
    )


def _size(entry: RunOutcome) -> int:
    return len(entry.outcome.value or b"") + len(entry.pages or b"")
