"""Turns outcomes into what `rx_exec` and `rx_get_job_results` give: a list, a warning, or an error."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from rxsql import payload
from rxsql.errors import FailedRunsWarning, JobFailedError, RunError
from rxsql.store import jobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from rxsql.models import Job, Outcome
    from rxsql.store.engine import Store

_PAGE = 2000


class Gathered:
    """Results by run: each run's value, or the exception object it ended with."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.failed: dict[int, tuple[str, str]] = {}

    def add(self, run: int, value: Any) -> None:
        """Take a run's value; runs come in order, and one that is left out is missing."""
        self._fill(run)
        self.results.append(value)

    def add_error(self, run: int, error: BaseException, text: str, trace: str) -> None:
        """Take a run's exception object, with its text and the traceback of where it was raised."""
        self._fill(run)
        self.results.append(error)
        self.failed[run] = (text, trace)

    def _fill(self, run: int) -> None:
        for missing in range(len(self.results), run):
            text = f"The result of run {missing} is missing from the store."
            self.results.append(RunError(text))
            self.failed[missing] = (text, "")

    def close(self, run_count: int) -> None:
        """Mark what is missing at the end."""
        self._fill(run_count)


def gather(store: Store, job: Job) -> Gathered:
    """Return all results of a finished job; a damaged one is an error at its place."""
    gathered = Gathered()
    after = -1
    while page := jobs.fetch_outcomes(store, job.job_key, after=after, limit=_PAGE):
        for outcome in page:
            _add(gathered, outcome)
        after = page[-1].run
    gathered.close(job.run_count)
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


def settle(
    job_id: str,
    gathered: Gathered,
    *,
    run_count: int,
    go_on: bool,
    callback: Callable[[Any], Any] | None = None,
    stacklevel: int = 3,
) -> list[Any]:
    """Return the results: exceptions at their places under a warning, or an error when the whole job failed.

    Raises:
        JobFailedError: Every run failed, or one did and the rest was not to go on.
    """
    failed = gathered.failed
    if failed and (len(failed) == run_count or not go_on):
        run, (text, trace) = next(iter(failed.items()))
        raise JobFailedError(job_id, _reason(run_count, len(failed), run, text), trace)
    if failed:
        run, (text, _) = next(iter(failed.items()))
        message = f"Job {job_id}: {_reason(run_count, len(failed), run, text)} The exceptions stand at their indexes."
        warnings.warn(message, FailedRunsWarning, stacklevel=stacklevel)
    if callback is not None:
        for run, value in enumerate(gathered.results):
            if run not in failed:
                callback(value)
    return gathered.results


def _reason(run_count: int, failed: int, run: int, text: str) -> str:
    if run_count == 1:
        return f"the run failed: {text}."
    return f"{failed} of {run_count} runs failed, the first (run {run}) with {text}."
