"""The errors: one family, each with its facts, and able to travel between processes."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import pytest

from rxsql import errors

EVERY = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
WARNINGS = [kind for kind in EVERY if issubclass(kind, Warning)]
OWN = [kind for kind in EVERY if kind not in WARNINGS and kind is not errors.RemoteTraceback]
MADE: list[Any] = [
    errors.RxSqlError("text"),
    errors.ArgumentsError("text"),
    errors.StoreLockedError("text"),
    errors.SchemaVersionError("jobs.db", 2, 1),
    errors.JobNotFoundError("job-1", "jobs.db"),
    errors.JobExistsError("job-1"),
    errors.JobFailedError("job-1", "it failed", "Traceback (most recent call last): ..."),
    errors.JobCanceledError("job-1"),
    errors.PayloadVersionError("3.11", "3.12"),
    errors.ChildDiedError("text"),
    errors.RemoteTraceback("Traceback (most recent call last): ..."),
]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_an_error_says_when_it_comes(kind: type[Exception]) -> None:
    """Each error and warning has a docstring, and a name that says which of the two it is."""
    assert (kind.__doc__ or "").strip().partition("\n")[0].endswith(".")
    assert kind.__name__.endswith(("Error", "Warning", "Traceback"))


def test_errors_are_one_family() -> None:
    """One `except RxSqlError` catches all errors, and a warning filter on UserWarning all warnings."""
    assert [kind for kind in OWN if not issubclass(kind, errors.RxSqlError)] == []
    assert WARNINGS
    assert [kind for kind in WARNINGS if not issubclass(kind, UserWarning)] == []


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ArgumentsError, ValueError),
        (errors.SettingsError, ValueError),
        (errors.NotSupportedError, NotImplementedError),
        (errors.JobNotFoundError, LookupError),
        (errors.JobFailedError, RuntimeError),
        (errors.JobCanceledError, RuntimeError),
        (errors.RunError, RuntimeError),
    ],
)
def test_an_error_is_caught_by_the_built_in_of_its_kind(
    kind: type[Exception], builtin: type[Exception]
) -> None:
    """Scripts that catch built-in exceptions catch these: a failed job is a RuntimeError."""
    assert issubclass(kind, builtin)


def test_a_newer_store_asks_for_an_upgrade_and_an_empty_one_for_init() -> None:
    """The message names both versions, and a next step that fits."""
    newer, older, none = (errors.SchemaVersionError("jobs.db", found, 3) for found in (7, 1, 0))
    assert (newer.found, newer.expected) == (7, 3)
    assert all(fact in str(newer) for fact in ("jobs.db", "7", "3", "pip install --upgrade rxsql"))
    assert all(fact in str(older) for fact in ("jobs.db", "1", "3", "Name another store"))
    assert "Run rxsql db init" in str(none)


def test_an_unknown_job_is_named_with_its_store() -> None:
    """The message has the id, the place where it was looked for, and how to list what is there."""
    error = errors.JobNotFoundError("job-1", "/data/jobs.db")
    assert error.job_id == "job-1"
    assert all(fact in str(error) for fact in ("'job-1'", "/data/jobs.db", "rxsql jobs"))
    assert not str(error).startswith('"'), "a KeyError would show its message in quotes"


def test_a_taken_id_names_the_way_to_remove_it() -> None:
    """The message has the id and the command that frees it."""
    assert "rxsql cleanup --force job-1" in str(errors.JobExistsError("job-1"))


def test_a_failed_job_shows_the_remote_traceback() -> None:
    """The message ends with the worker's traceback; id, reason and traceback are attributes."""
    error = errors.JobFailedError(
        "job-1", "ValueError: no", "Traceback (most recent call last):\nValueError: no"
    )
    assert (error.job_id, error.reason) == ("job-1", "ValueError: no")
    assert str(error).endswith(error.remote_traceback)


def test_another_python_is_named_with_this_one() -> None:
    """The message has both versions, and both ways out."""
    text = str(errors.PayloadVersionError("3.11", "3.13"))
    assert "Start a worker with Python 3.11" in text
    assert "submit with Python 3.13" in text


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_travels(error: Exception) -> None:
    """An error that a function meets inside a run arrives at the client as it was: type, text and facts."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize("kind", WARNINGS, ids=lambda kind: kind.__name__)
def test_a_warning_can_be_silenced_by_its_kind(kind: type[Warning]) -> None:
    """A filter on the class silences this warning and no other."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", kind)
        warnings.warn("text", kind, stacklevel=1)
        warnings.warn("other", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["other"]
