"""Gathers outcomes into what `rx_exec` and `rx_get_job_results` give: a list, with a warning about failed runs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from rxsql import payload
from rxsql.errors import FailedRunsWarning, RunError
from rxsql.store import jobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from rxsql.models import Job, Outcome
    from rxsql.store.engine import Store

_PAGE = 2000


class Gathered:
    """Results by run: each run's value, or the exception object it ended with.

    Args:
        run_count: How many runs there are; one without a result is an error at its place.
    """

    def __init__(self, run_count: int) -> None:
        self.results: list[Any] = [None] * run_count
        self.failed: dict[int, tuple[str, str]] = {}
        self._missing = set(range(run_count))

    def add(self, run: int, value: Any) -> None:
        """Take a run's value."""
        self.results[run] = value
        self._missing.discard(run)

    def add_error(self, run: int, error: BaseException, text: str, trace: str) -> None:
        """Take a run's exception object, with its text and the traceback of where it was raised."""
        self.add(run, error)
        self.failed[run] = (text, trace)

    def why_failed(self) -> tuple[str, str]:
        """Return how many runs failed, and the first failed one's traceback."""
        run, (text, trace) = min(self.failed.items())
        count = len(self.results)
        if count == 1:
            return f"the run failed with {text}", trace
        return f"{len(self.failed)} of {count} runs failed, the first (run {run}) with {text}", trace

    def hand_over(self, subject: str, *, callback: Callable[[Any], Any] | None, stacklevel: int) -> list[Any]:
        """Return the results in the order of the runs, after a warning about failed ones and the callbacks.

        Args:
            subject: What the warning speaks of.
            callback: Called with the value of each run that returned one.
            stacklevel: Whose line the warning names, counted from the caller of this.
        """
        for run in sorted(self._missing):
            text = f"The result of run {run} is not in the store any more."
            self.add_error(run, RunError(text), text, "")
        if self.failed:
            message = (
                f"{subject}: {self.why_failed()[0].removesuffix('.')}. The exceptions stand at their indexes."
            )
            warnings.warn(message, FailedRunsWarning, stacklevel=stacklevel)
        if callback is not None:
            for run, value in enumerate(self.results):
                if run not in self.failed:
                    callback(value)
        return self.results


def gather(store: Store, job: Job) -> Gathered:
    """Return all results of a finished job; a damaged one is an error at its place."""
    gathered = Gathered(job.run_count)
    after, more = -1, True
    while more:
        page = jobs.fetch_outcomes(store, job.job_key, after=after, limit=_PAGE)
        for outcome in page:
            _add(gathered, outcome)
            after = outcome.run
        more = len(page) == _PAGE
    return gathered


def _add(gathered: Gathered, outcome: Outcome) -> None:
    if outcome.error is not None:
        error = payload.load_error(outcome.error, outcome.traceback, outcome.value)
        gathered.add_error(outcome.run, error, outcome.error, outcome.traceback or "")
        return
    try:
        value = payload.load(outcome.value or b"")
    except Exception as error:  # noqa: BLE001 - a result's own __setstate__ may raise anything
        gathered.add_error(outcome.run, error, f"{type(error).__name__}: {error}", "")
        return
    gathered.add(outcome.run, value)
