"""Scripts as users run them: functions from `__main__`, Ctrl-C, and the progress bar in a real terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import stop_workers, wait_until

from rxsql import (
    RxInSqlServer,
    RxRemoteJob,
    rx_get_job_results,
    rx_get_job_status,
    rx_get_jobs,
    rx_wait_for_job,
)

BAR = re.compile(r"[━╸╺]+ +\d+/\d+ runs")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@pytest.fixture(scope="module")
def shared_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The path of a store for all tests of this module."""
    path = tmp_path_factory.mktemp("store") / "jobs.db"
    yield path
    stop_workers(path)


_clients: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def no_client_left() -> Iterator[None]:
    """End the clients of a test that failed half-way: one that waits would start worker after worker."""
    yield
    while _clients:
        with _clients.pop() as client:
            client.kill()


@pytest.fixture
def script(tmp_path: Path, shared_path: Path):
    """Write a script whose context is `where`, on this module's store; return its command line."""

    def write(code: str, **options: object) -> list[str]:
        words = "".join(f", {name}={value!r}" for name, value in options.items())
        head = f"import os, sys, time\nfrom rxsql import *\nwhere = RxInSqlServer('sqlite:///{shared_path}'{words})\n"
        path = tmp_path / "script.py"
        path.write_text(head + code)
        return [sys.executable, str(path)]

    return write


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment for a terminal of 80 columns."""
    return {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", **more}


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a script with pipes."""
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment())


class Terminal:
    """A script whose standard streams, or some of them, are a terminal."""

    def __init__(self, command: list[str], *, stdout: int | None = None, stderr: int | None = None) -> None:
        self._screen, terminal = pty.openpty()
        self.raw = b""
        self.process = subprocess.Popen(
            command,
            stdin=terminal,
            stdout=terminal if stdout is None else stdout,
            stderr=terminal if stderr is None else stderr,
            env=environment(),
            start_new_session=True,
        )
        _clients.append(self.process)
        os.close(terminal)

    def read_until(self, condition, seconds: float = 60.0) -> str:
        """Read what the script shows until a condition on the text holds; return the text."""
        deadline = time.monotonic() + seconds
        while not condition(self.text):
            assert time.monotonic() < deadline, self.text
            assert self._read(), self.text
        return self.text

    def finish(self) -> str:
        """Read until the script ends; return everything it showed."""
        while self._read():
            pass
        assert self.process.wait(timeout=60) == 0, self.text
        os.close(self._screen)
        return self.text

    @property
    def text(self) -> str:
        """Everything shown so far, without control sequences."""
        return _CONTROL.sub("", self.raw.decode(errors="replace"))

    def _read(self) -> bool:
        ready, _, _ = select.select([self._screen], [], [], 60)
        assert ready, self.text
        try:
            part = os.read(self._screen, 65536)
        except OSError:  # the script has closed the terminal
            return False
        self.raw += part
        return bool(part)


# ------------------------------------------------------------------------------------------- what scripts contain


def test_functions_and_classes_of_main(script):
    """A script's own functions, classes, caches and globals travel; what comes back is of the script's classes."""
    done = run(
        script(
            """
from dataclasses import dataclass
from enum import Enum
from functools import cache

FACTOR = 3

class Color(Enum):
    RED = 1

@dataclass
class Point:
    x: int
    color: Color = Color.RED

class BadError(Exception):
    pass

@cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

def work(x):
    if x == 2:
        raise BadError(x)
    return Point(fibonacci(x) * FACTOR)

if __name__ == "__main__":
    import warnings
    warnings.simplefilter("ignore")
    methods = Point.__init__
    results = rx_exec(work, x=[1, 2, 30], compute_context=where)
    print(results)
    print(type(results[0]) is Point, type(results[1]) is BadError, results[0].color is Color.RED, Point.__init__ is methods)
"""
        )
    )
    assert done.stderr == ""
    assert done.stdout == (
        "[Point(x=3, color=<Color.RED: 1>), BadError(2), Point(x=2496120, color=<Color.RED: 1>)]\nTrue True True True\n"
    )


def test_a_script_without_a_main_guard(script):
    """A script that calls `rx_exec` at its top level, as most do, runs once."""
    done = run(
        script(
            "print('once')\ndef f(x):\n    return x + 1\nprint(rx_exec(f, x=[1, 2], compute_context=where))\n"
        )
    )
    assert (done.stdout, done.stderr) == ("once\n[2, 3]\n", "")


def test_a_failed_call_shows_both_tracebacks(script):
    """An uncaught failure shows the line of the call here and the line of the raise there."""
    done = run(
        script("def f(x):\n    raise ValueError('over there')\nrx_exec(f, x=1, compute_context=where)\n")
    )
    assert done.returncode == 1
    assert "rx_exec(f, x=1, compute_context=where)" in done.stderr
    assert "in f" in done.stderr
    assert "ValueError: over there" in done.stderr


# ------------------------------------------------------------------------------------------- Ctrl-C

HOLD = """
def hold(folder):
    open(os.path.join(folder, "started"), "w").close()
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.005)
    return "went on"
"""


@pytest.mark.parametrize("how", ["rx_exec", "rx_wait_for_job"])
def test_ctrl_c_leaves_the_job_running(script, shared_path, tmp_path, how):
    """A waiting client that is interrupted says the job's id and how to come back; the job goes on to its result."""
    call = f"job = rx_exec(hold, folder={str(tmp_path)!r}, compute_context=where)\nrx_wait_for_job(job)\n"
    job_id = f"held-by-{how}"
    command = script(HOLD + call, job_id=job_id, wait=how == "rx_exec", auto_cleanup=False)
    client = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
    _clients.append(client)
    wait_until((tmp_path / "started").exists)
    wait_until(lambda: is_waiting(client.pid))
    client.send_signal(signal.SIGINT)
    _, said = client.communicate(timeout=60)
    assert client.returncode == -signal.SIGINT
    assert f"The job {job_id} goes on. Wait for it again: rxsql wait {job_id} --store {shared_path}" in said
    job = RxRemoteJob(RxInSqlServer(f"sqlite:///{shared_path}"), job_id)
    assert rx_get_job_status(job) == "running"
    (tmp_path / "go").touch()
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == ["went on"]


def is_waiting(pid: int) -> bool:
    """Whether a client sits in its wait, where it watches the store's log."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed while we look
            if "inotify" in os.readlink(descriptor):
                return True
    return False


def test_an_interrupted_call_is_the_last_pending_job(script, tmp_path):
    """After Ctrl-C in a waiting call the session finds the job as `rxg_last_pending_job`."""
    code = (
        HOLD
        + f"""
import _thread, threading
def interrupt():
    while not os.path.exists(os.path.join({str(tmp_path)!r}, "started")):
        time.sleep(0.005)
    _thread.interrupt_main()
threading.Thread(target=interrupt).start()
try:
    rx_exec(hold, folder={str(tmp_path)!r}, compute_context=where)
except KeyboardInterrupt:
    print(rx_get_job_status(rxg_last_pending_job))
open(os.path.join({str(tmp_path)!r}, "go"), "w").close()
rx_wait_for_job(rxg_last_pending_job)
print(rx_get_job_results(rxg_last_pending_job))
"""
    )
    assert run(script(code)).stdout == "running\n['went on']\n"


# ------------------------------------------------------------------------------------------- the progress bar

COUNT = """
def count(x):
    print(f"line {x}: " + "words and more words, " * 6 + "end")
    print(f"error {x}", file=sys.stderr)
    time.sleep(0.2)
    if x == 2:
        raise ValueError("bad")
    return x
import warnings
warnings.simplefilter("ignore")
"""
LINES = [f"line {x}: " + "words and more words, " * 6 + "end" for x in range(6)]
CALL = COUNT + "rx_exec(count, x=list(range(6)), compute_context=where)\n"
WAIT = COUNT + "rx_wait_for_job(rx_exec(count, x=list(range(6)), compute_context=where))\n"


@pytest.mark.parametrize(("code", "options"), [(CALL, {}), (WAIT, {"wait": False})])
def test_a_bar_in_a_terminal(script, tmp_path, code, options):
    """A waiting call and `rx_wait_for_job` show a bar that moves, counts failed runs and ends with the status."""
    gate = tmp_path / "gate"
    held = f"while x == 3 and not os.path.exists({str(gate)!r}):\n        time.sleep(0.01)"
    terminal = Terminal(script(code.replace("time.sleep(0.2)", held), **options))
    terminal.read_until(lambda text: "3/6 runs" in text)
    gate.touch()
    shown = terminal.finish()
    counts = [int(number) for number in re.findall(r"(\d)/6 runs", shown)]
    assert counts[-1] == 6
    assert counts == sorted(counts)
    assert BAR.search(shown)
    assert "1 failed" in shown
    assert "finished" in shown
    assert "line 1" not in shown


@pytest.mark.parametrize("code", [CALL, WAIT])
def test_no_bar_in_a_pipe(script, code):
    """Where nobody watches, a waiting call writes nothing at all."""
    done = run(script(code, wait=code is CALL))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_report_progress_silences_the_bar(script):
    """`RxOptions.set_option("reportProgress", 0)` switches the bar off in a terminal, too."""
    code = (
        COUNT
        + "RxOptions.set_option('reportProgress', 0)\nrx_exec(count, x=list(range(6)), compute_context=where)\n"
    )
    assert Terminal(script(code)).finish() == ""


def test_a_short_wait_shows_no_bar(script):
    """A job that is done at once does not flash a bar; where the machine is slow, the first one that is."""
    code = """
def f(x):
    return x
took = 1
while took > 0.3:
    begun = time.monotonic()
    rx_exec(f, x=1, compute_context=where)
    took = time.monotonic() - begun
    print("done", flush=True)
"""
    *_, during_the_last, after = Terminal(script(code)).finish().split("done")
    assert (during_the_last.strip(), after.strip()) == ("", "")


def test_lines_stand_above_the_bar(script):
    """With both streams on the terminal each console line comes whole, once, and the bar stands below."""
    shown = Terminal(script(CALL, console_output=True)).finish()
    for x, line in enumerate(LINES):
        assert shown.count(line) == 1
        assert shown.count(f"error {x}\n") == 1
    assert BAR.search(shown)
    assert BAR.search(shown).start() < shown.index(LINES[5]) < shown.rindex("6/6 runs")


def test_an_unfinished_line_does_not_break_the_bar(script):
    """A line without its end is shown when the end comes, or at the latest when the wait is over."""
    code = """
def dots():
    for _ in range(8):
        print(".", end="", flush=True)
        time.sleep(0.2)
    print("done")
    time.sleep(0.3)
    print("no end", end="", flush=True)
rx_exec(dots, compute_context=where)
"""
    shown = Terminal(script(code, console_output=True)).finish()
    assert shown.count("........done\n") == 1
    assert shown.endswith("no end")


def test_piped_stdout_gets_the_lines_unharmed(script):
    """With stdout in a pipe its lines go there byte for byte, while bar and stderr lines are on the terminal."""
    reader, writer = os.pipe()
    terminal = Terminal(script(CALL, console_output=True), stdout=writer)
    os.close(writer)
    shown = terminal.finish()
    with os.fdopen(reader, encoding="utf-8") as piped:
        assert piped.read().splitlines() == LINES
    assert BAR.search(shown)
    assert "line 1" not in shown
    assert all(shown.count(f"error {x}\n") == 1 for x in range(6))


def test_piped_stderr_means_no_bar(script):
    """With stderr in a pipe there is no bar, and the lines are as written."""
    reader, writer = os.pipe()
    terminal = Terminal(script(CALL, console_output=True), stderr=writer)
    os.close(writer)
    assert terminal.finish().splitlines() == LINES
    with os.fdopen(reader) as piped:
        assert piped.read().splitlines() == [f"error {x}" for x in range(6)]


def test_ctrl_c_under_the_bar(script, shared_path, tmp_path):
    """Ctrl-C in the terminal takes the bar away cleanly: the cursor is shown again, and the job's id is said."""
    code = HOLD + f"rx_exec(hold, folder={str(tmp_path)!r}, compute_context=where)\n"
    terminal = Terminal(script(code, job_id="under-the-bar"))
    terminal.read_until(BAR.search)
    os.killpg(terminal.process.pid, signal.SIGINT)
    terminal.read_until(lambda text: "KeyboardInterrupt" in text)
    assert "The job under-the-bar goes on" in terminal.text
    assert terminal.raw.rindex(b"\x1b[?25h") > terminal.raw.rindex(b"\x1b[?25l")
    terminal.process.wait(timeout=60)
    (tmp_path / "go").touch()
    (job,) = [
        job
        for job in rx_get_jobs(RxInSqlServer(f"sqlite:///{shared_path}"), verbose=False)
        if job.job_id == "under-the-bar"
    ]
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == ["went on"]
