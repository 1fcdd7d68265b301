"""When a progress bar shows itself."""

from __future__ import annotations

import io
import sys
import types
from collections.abc import Iterator

import pytest
from conftest import wait_until

from rxsql import RxOptions
from rxsql.client.progress import ProgressBar


class Screen(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def report_progress() -> Iterator[None]:
    """Give back the option that a test changed."""
    before = RxOptions.get_option("reportProgress")
    yield
    RxOptions.set_option("reportProgress", before)


def becomes_due(bar: ProgressBar) -> bool:
    """Whether the bar asks for news once a bar that is enabled surely would."""
    option = RxOptions.get_option("reportProgress")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", Screen())
        RxOptions.set_option("reportProgress", 2)
        enabled = ProgressBar("enabled")
        RxOptions.set_option("reportProgress", option)
    wait_until(lambda: enabled.is_due)
    return bar.is_due


def test_not_in_a_pipe(monkeypatch):
    """With stderr in a pipe nobody watches."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not becomes_due(ProgressBar("a-job"))


def test_in_a_terminal(monkeypatch):
    """With stderr on a terminal it shows itself after a moment, not at once."""
    monkeypatch.setattr(sys, "stderr", Screen())
    bar = ProgressBar("a-job")
    assert not bar.is_due
    assert becomes_due(bar)


def test_not_in_a_script_that_knows_of_notebooks(monkeypatch):
    """A process that has imported `ipykernel` without being a notebook's kernel shows none in a pipe."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    assert not becomes_due(ProgressBar("a-job"))


def test_not_when_told_not_to(monkeypatch, report_progress):
    """`reportProgress` 0 rules in a terminal."""
    RxOptions.set_option("reportProgress", 0)
    monkeypatch.setattr(sys, "stderr", Screen())
    assert not becomes_due(ProgressBar("a-job"))


def test_without_any_stderr(monkeypatch):
    """A process without standard error, such as a service, shows none and does not fail."""
    monkeypatch.setattr(sys, "stderr", None)
    assert not becomes_due(ProgressBar("a-job"))
