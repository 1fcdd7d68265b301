"""How long rxsql goes on trying, and how often."""

from __future__ import annotations

import pytest

from rxsql.errors import StoreError, StoreLockedError, StoreUnreachableError
from rxsql.store.retry import growing, insist


def failing(*errors: Exception):
    """Return an operation that fails so many times, and then works."""
    left = list(errors)

    def operation() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return operation


@pytest.mark.parametrize("failures", [1, 2, 10, 5_000, 10**9])
def test_pauses_after_any_number_of_failures(failures):
    """Pauses grow to the longest and stay there, however long an outage lasts."""
    assert 0.05 <= growing(failures, longest=2.0) <= 3.0
    assert failures < 10 or growing(failures, longest=2.0) >= 1.0


@pytest.mark.parametrize("error", [StoreUnreachableError("gone"), StoreLockedError("locked")])
def test_a_store_that_comes_back(error, caplog):
    """What is out of reach or locked is tried again, with a line in the log each time."""
    assert insist(failing(error, error), seconds=60.0) == "done"
    assert caplog.text.count("store.trouble retry_seconds=") == 2


def test_an_error_that_stays(caplog):
    """What no waiting mends is raised at once, whatever the patience."""
    with pytest.raises(StoreError, match="password"):
        insist(failing(StoreError("password")), seconds=60.0)
    assert caplog.text == ""


def test_patience_has_an_end(caplog):
    """Without patience, the first error is the last."""
    with pytest.raises(StoreUnreachableError):
        insist(failing(StoreUnreachableError("gone")), seconds=0.0)
    assert caplog.text == ""
