"""Every error of rxsql: each knows its facts and says the next step."""

from __future__ import annotations

import copyreg
from typing import Any


class RxSqlError(Exception):
    """Base of all errors that rxsql raises by itself."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the text and the facts: a constructor would make the text again, from other arguments."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ArgumentsError(RxSqlError, ValueError):
    """What was handed to a function of rxsql does not fit together."""


class SettingsError(RxSqlError, ValueError):
    """A setting (an `RXSQL_…` environment variable) has an unusable value."""


class NotSupportedError(RxSqlError, NotImplementedError):
    """A part of revoscalepy that rxsql does not have."""


class StoreError(RxSqlError):
    """The store cannot be used as it is."""


class StoreLockedError(StoreError):
    """Somebody else holds the store's lock for longer than rxsql waits."""


class StoreUnreachableError(StoreError):
    """The connection to the store was lost, or another transaction was in the way: the same may work a moment later."""


class StoreConflictError(StoreUnreachableError):
    """Another transaction was in the way, and this one was rolled back: whatever it was, it may be done again."""


class StoreRefusedError(StoreError):
    """The store cannot take a value: it is too large for it, or nothing that it stores."""


class SchemaVersionError(StoreError):
    """The store's tables are of another version than this package."""

    def __init__(self, label: str, found: int, expected: int) -> None:
        """Name both versions and the way out."""
        if found > expected:
            step = "Upgrade rxsql here (pip install --upgrade rxsql), or name another store."
        elif found:
            step = (
                "It was made before the first release, from which there is no way to this one. Name another store, or "
                "remove this one (delete the file; on a server run uninstall.sql), and run: rxsql db init"
            )
        else:  # SQL Server hides tables from those who may not use them
            step = (
                "Run rxsql db init with this store. Where the schema is there already, this user has none of its "
                "roles: rx_client submits jobs, rx_worker runs them, rx_reader looks"
            )
        super().__init__(
            f"The store {label} has schema version {found}, this rxsql speaks {expected}. {step}"
        )
        self.found = found
        self.expected = expected


class JobNotFoundError(RxSqlError, LookupError):
    """No job of that id was ever in this store, or its last trace is gone."""

    def __init__(self, job_id: str, label: str) -> None:
        """Name the id and where it was looked for."""
        super().__init__(f"There is no job {job_id!r} in the store {label}. List what is there: rxsql jobs")
        self.job_id = job_id


class JobExistsError(RxSqlError, ValueError):
    """The chosen job id is taken."""

    def __init__(self, job_id: str) -> None:
        """Name the id that is taken."""
        super().__init__(
            f"A job {job_id!r} is in the store already. Choose another job_id, or remove it: "
            f"rxsql cleanup --force {job_id}"
        )
        self.job_id = job_id


class JobFailedError(RxSqlError, RuntimeError):
    """A waiting call's job has failed; the message ends with the remote traceback."""

    def __init__(self, job_id: str, reason: str, remote_traceback: str = "") -> None:
        """Keep the job's id, its reason and the worker's traceback."""
        text = f"revoscalepy function failed. Job {job_id}: {reason}"
        super().__init__(f"{text}\n\n{remote_traceback}" if remote_traceback else text)
        self.job_id = job_id
        self.reason = reason
        self.remote_traceback = remote_traceback


class JobCanceledError(RxSqlError, RuntimeError):
    """A waiting call's job was canceled by somebody else."""

    def __init__(self, job_id: str) -> None:
        """Name the job."""
        super().__init__(f"Job {job_id} was canceled before it finished; it has no results.")
        self.job_id = job_id


class WorkerStartError(RxSqlError, RuntimeError):
    """The embedded store's worker could not be started."""


class PayloadError(RxSqlError):
    """A stored function, input or result cannot be read or made."""


class PayloadVersionError(PayloadError):
    """A payload was made by another minor version of Python."""

    def __init__(self, made_by: str, here: str) -> None:
        """Name both versions."""
        super().__init__(
            f"This payload was made by Python {made_by} and this is Python {here}; payloads cannot cross minor "
            f"versions. Start a worker with Python {made_by}, or submit with Python {here}; of a result: fetch it with "
            f"Python {made_by}."
        )
        self.made_by = made_by
        self.here = here


class SignatureError(PayloadError):
    """A stored row is not what somebody with a signing key put there; nothing of it was unpickled."""

    def __init__(self, subject: str, reason: str) -> None:
        """Name what was refused, and why."""
        super().__init__(f"Refused {subject}: {reason}.")
        self.subject = subject
        self.reason = reason


class LimitError(RxSqlError, ValueError):
    """Something is larger than a setting allows."""

    def __init__(self, what: str, limit: str) -> None:
        """Say what is too large, with its size, and the limit with its name and value."""
        super().__init__(f"{what}, more than the limit {limit}.")
        self.limit = limit


class RunError(RxSqlError, RuntimeError):
    """Stands at a run's index when the run's own exception object cannot be had."""


class ChildDiedError(RunError):
    """The child process died while it was in this run."""


class RemoteTraceback(Exception):  # noqa: N818 - the cause of an exception, never raised by itself
    """Shown as the cause of a run's exception: the traceback as the worker saw it."""

    def __init__(self, text: str) -> None:
        """Keep the worker's traceback."""
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


class FailedRunsWarning(UserWarning):
    """Some runs of a finished job failed; their exceptions stand in the result list."""


class NoWorkerWarning(UserWarning):
    """A job waits, and no live worker has the Python version that it needs."""


class UncollectedResultsWarning(UserWarning):
    """`rx_cleanup_jobs` kept a finished job, because its results were not collected."""


class PurgedJobWarning(UserWarning):
    """The job's output and results were asked for after they had been removed."""


class ScriptError(RxSqlError, ValueError):
    """A script, its parameters or its tables are not as they must be; the message says which and what to do."""
