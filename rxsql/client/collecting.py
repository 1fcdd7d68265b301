"""Gathers outcomes into what `rx_exec` and `rx_get_job_results` give: a list, with a warning about failed runs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from rxsql import payload
from rxsql.errors import FailedRunsWarning, RunError, SignatureError
from rxsql.payload import signing
from rxsql.store import outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rxsql.models import JobState
    from rxsql.reports import Outcome
    from rxsql.settings import Settings
    from rxsql.store.engine import Store

_FIRST_PAGE, _LARGEST_PAGE = 16, 2000  # outcomes
_PAGE_BYTES = 8 * 2**20


class Gathered:
    """Results by run: each run's value, or the exception object it ended with.

    Args:
        run_count: How many runs there are; one without a result is an error at its place.

    Attributes:
        failed: The text and traceback of each run that has an exception at its place.
        unread: Those of them that returned a value, which this process cannot read; another one may.
    """

    def __init__(self, run_count: int) -> None:
        self.results: list[Any] = [None] * run_count
        self.failed: dict[int, tuple[str, str]] = {}
        self.unread: set[int] = set()
        self._missing = set(range(run_count))

    def add(self, run: int, value: Any) -> None:
        """Take a run's value."""
        self.results[run] = value
        self._missing.discard(run)

    def add_error(self, run: int, error: BaseException, text: str, trace: str) -> None:
        """Take a run's exception object, with its text and the traceback of where it was raised."""
        self.add(run, error)
        self.failed[run] = (text, trace)

    def add_unread(self, run: int, error: Exception) -> None:
        """Take the reason why a run's value cannot be read here."""
        self.add_error(run, error, f"{type(error).__name__}: {error}", "")
        self.unread.add(run)

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
            if self.unread:
                message += " Values that cannot be read here stay in the store, whatever auto_cleanup says."
            warnings.warn(message, FailedRunsWarning, stacklevel=stacklevel)
        if callback is not None:
            for run, value in enumerate(self.results):
                if run not in self.failed:
                    callback(value)
        return self.results


def gather(store: Store, job: JobState, settings: Settings) -> Gathered:
    """Return all results of a finished job; a damaged or refused one is an error at its place."""
    gathered = Gathered(job.run_count)
    reader = Reader(job.job_id, settings)
    for outcome in each_outcome(store, job):
        _add(gathered, reader, outcome)
    return gathered


def each_outcome(store: Store, job: JobState) -> Iterator[Outcome]:
    """Yield a job's outcomes in the order of the runs, with no more than some megabytes of them in memory."""
    after, size = -1, _FIRST_PAGE
    while True:
        page = outputs.fetch_outcomes(store, job.job_key, after=after, limit=size)
        held = sum(len(outcome.value or b"") for outcome in page)
        count = len(page)
        after = page[-1].run if page else after
        page.reverse()
        while page:
            yield page.pop()  # and keep it no longer
        if count < size:
            return
        size = max(1, min(_LARGEST_PAGE, 16 * size, _PAGE_BYTES * count // max(held, 1)))


def _add(gathered: Gathered, reader: Reader, outcome: Outcome) -> None:
    if outcome.error is not None:
        gathered.add_error(outcome.run, reader.error(outcome), outcome.error, outcome.traceback or "")
        return
    try:
        value = reader.value(outcome)
    except Exception as error:  # noqa: BLE001 - a result's own __setstate__ may raise anything
        gathered.add_unread(outcome.run, error)
        return
    gathered.add(outcome.run, value)


class Reader:
    """Makes objects of a job's outcomes, after their signatures were checked.

    Args:
        job_id: The job.
        settings: Those with the keys.

    Raises:
        SettingsError: The signing keys cannot be used.
    """

    def __init__(self, job_id: str, settings: Settings) -> None:
        self._job_id = job_id
        self._keyring = payload.Keyring.from_settings(settings)

    def value(self, outcome: Outcome) -> Any:
        """Return what a run returned.

        Raises:
            SignatureError: It is not what a worker with a key wrote; nothing was unpickled.
            PayloadError: It is damaged.
            Exception: Whatever its own `__setstate__` raises.
        """
        subject = signing.result(self._job_id, outcome.run, failed=False)
        return payload.load(self._keyring.unseal(outcome.value or b"", subject))

    def error(self, outcome: Outcome) -> BaseException:
        """Return the exception a run ended with, or the one that says why it was refused."""
        body = outcome.value
        if body is not None:
            try:
                body = self._keyring.unseal(body, signing.result(self._job_id, outcome.run, failed=True))
            except SignatureError as refused:
                return refused
        return payload.load_error(outcome.error or "", outcome.traceback, body)
