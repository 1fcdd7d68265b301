"""Waiting calls in a notebook, in a real kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip(
    "ipykernel", reason="pip install ipykernel to see the progress bar in a notebook's kernel"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # the kernel's client warns of its own

SETUP = """
import time
from rxsql import *
where = RxInSqlServer({store!r}, num_tasks=2, console_output=True)
def count(x):
    print('run', x)
    time.sleep(0.3)
    return x
class Point:
    pass
"""


@pytest.fixture
def cell(store_url: str) -> Iterator[object]:
    """Run a cell; return what its output shows in the end, by kind."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel()

    def execute(code: str) -> dict[str, list]:
        shown: dict[str, list] = {
            "stream": [],
            "display_data": [],
            "update_display_data": [],
            "execute_result": [],
            "error": [],
        }

        def take(message: dict) -> None:
            if message["msg_type"] in shown:
                shown[message["msg_type"]].append(message["content"])

        client.execute_interactive(code, timeout=60, output_hook=take)
        return shown

    execute(SETUP.format(store=store_url))
    yield execute
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_bar_in_a_notebook(cell):
    """A waiting call shows one bar that is updated in its place up to the last run, and the lines of the runs."""
    shown = cell("rx_exec(count, x=list(range(6)), compute_context=where)")
    assert shown["error"] == []
    (bar,) = shown["display_data"]
    assert "<progress" in bar["data"]["text/html"]
    last = shown["update_display_data"][-1]["data"]
    assert 'value="6" max="6"' in last["text/html"]
    assert last["text/plain"].endswith("6/6 runs, finished")
    lines = "".join(part["text"] for part in shown["stream"]).splitlines()
    assert sorted(lines) == [f"run {x}" for x in range(6)]


def test_report_progress_silences_it(cell):
    """`reportProgress` 0 switches it off."""
    shown = cell(
        "RxOptions.set_option('reportProgress', 0)\nrx_exec(count, x=list(range(6)), compute_context=where)"
    )
    assert (shown["error"], shown["display_data"]) == ([], [])


def test_a_class_of_a_cell_stays_itself(cell):
    """An instance of a class that a cell defined comes back as one of that class."""
    shown = cell("type(rx_exec(lambda: Point(), compute_context=where)[0]) is Point")
    assert [result["data"]["text/plain"] for result in shown["execute_result"]] == ["True"]
