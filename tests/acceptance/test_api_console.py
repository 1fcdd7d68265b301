"""Console output: everything a run's process writes, attributed to its run, while it runs and afterwards."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import stop_workers, wait_until

from rxsql import (
    RxInSqlServer,
    RxRemoteJob,
    rx_cleanup_jobs,
    rx_exec,
    rx_get_job_output,
    rx_get_job_results,
    rx_get_job_status,
    rx_wait_for_job,
)


@pytest.fixture(scope="module")
def shared_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The path of a store for all tests of this module."""
    path = tmp_path_factory.mktemp("store") / "jobs.db"
    yield path
    stop_workers(path)


@pytest.fixture
def remote(shared_path: Path) -> Callable[..., RxInSqlServer]:
    """Make a context on the shared store."""

    def make(**options: object) -> RxInSqlServer:
        return RxInSqlServer(f"sqlite:///{shared_path}", **options)

    return make


def console(path: Path, job: RxRemoteJob) -> list[tuple[int, str, str]]:
    """Return the rows of the view `console` as a person with `sqlite3` would see them: run, stream, text."""
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT run, stream, text FROM console WHERE job_id = ? ORDER BY run, line", (job.job_id,)
    ).fetchall()
    connection.close()
    return rows


def with_print():
    print("printed")


def with_stderr():
    print("an error", file=sys.stderr)


def with_logging():
    import logging

    logging.basicConfig(format="%(levelname)s %(message)s")
    logging.getLogger("mine").warning("logged")


def with_system():
    os.system("echo from a shell")


def with_subprocess():
    subprocess.run(
        [sys.executable, "-c", "import sys; print('deep'); print('below', file=sys.stderr)"], check=True
    )


def with_puts():
    import ctypes

    ctypes.CDLL(None).puts(b"from C")


def with_printf():
    import ctypes

    ctypes.CDLL(None).printf(b"no line end")


def with_descriptor():
    os.write(1, b"raw\n")
    os.write(2, "gr\u00fc\u00df\n".encode())


def with_own_streams():
    import io

    sys.stdout = io.StringIO()
    print("kept by the run itself")
    sys.stdout = sys.__stdout__
    print("back again")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (with_print, [("stdout", "printed")]),
        (with_stderr, [("stderr", "an error")]),
        (with_logging, [("stderr", "WARNING logged")]),
        (with_system, [("stdout", "from a shell")]),
        (with_subprocess, [("stdout", "deep"), ("stderr", "below")]),
        (with_puts, [("stdout", "from C")]),
        (with_printf, [("stdout", "no line end")]),
        (with_descriptor, [("stdout", "raw"), ("stderr", "gr\u00fc\u00df")]),
        (with_own_streams, [("stdout", "back again")]),
    ],
)
def test_every_way_of_writing_is_caught(remote, shared_path, function, expected):
    """Print, stderr, logging, a shell, a subprocess, C code and raw descriptors all become rows of their stream."""
    job = rx_exec(function, compute_context=remote(wait=False))
    rx_wait_for_job(job)
    assert sorted(console(shared_path, job)) == sorted((0, stream, text) for stream, text in expected)
    assert all(text in rx_get_job_output(job) for _, text in expected)


def test_lines_belong_to_their_run(remote, shared_path):
    """Each line has the number of the run that wrote it, however runs share children and tasks."""

    def speak(x):
        import ctypes

        print(f"python {x}")
        ctypes.CDLL(None).puts(b"C %d" % x)
        os.system(f"echo shell {x}")

    job = rx_exec(
        speak, x=list(range(12)), task_chunk_size=3, compute_context=remote(wait=False, num_tasks=2)
    )
    rx_wait_for_job(job)
    expected = [(x, "stdout", f"{word} {x}") for x in range(12) for word in ("C", "python", "shell")]
    assert sorted(console(shared_path, job)) == sorted(expected)


def speak_and_hold(folder):
    for stream, text in ((sys.stdout, "first"), (sys.stderr, "second")):
        print(text, file=stream, flush=True)
    print("without an end", end="", flush=True)
    os.system("echo; echo from below")
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.005)
    print("last")


def test_output_during_and_after_the_run(remote, tmp_path):
    """`rx_get_job_output` gives what there is while the job runs, and everything afterwards."""
    job = rx_exec(speak_and_hold, folder=str(tmp_path), compute_context=remote(wait=False))
    soon = {"first", "second", "without an end", "from below"}
    wait_until(lambda: set(rx_get_job_output(job).splitlines()) == soon)
    assert rx_get_job_status(job) == "running"
    (tmp_path / "go").touch()
    rx_wait_for_job(job)
    assert set(rx_get_job_output(job).splitlines()) == {*soon, "last"}
    assert rx_get_job_output(job).endswith("last\n")


def test_text_comes_as_it_was_written(remote):
    """The output's text is the very text that was written: blank lines, blanks, any language."""
    text = "one\n\n  two \u2603\nthree\tfour\nno end"

    def write(text):
        sys.stdout.write(text)

    job = rx_exec(write, text=text, compute_context=remote(wait=False))
    rx_wait_for_job(job)
    assert rx_get_job_output(job) == text


def test_a_failed_run_keeps_its_output(remote):
    """What a run wrote before it failed is there."""

    def fail():
        print("before")
        raise ValueError("bad")

    job = rx_exec(fail, compute_context=remote(wait=False))
    rx_wait_for_job(job)
    assert rx_get_job_output(job) == "before\n"


@pytest.mark.parametrize(("console_output", "shown"), [(True, "printed\n"), (False, ""), (None, "")])
def test_a_waiting_call_prints_lines(remote, capsys, console_output, shown):
    """With `console_output=True` a waiting call prints what the runs write; otherwise nothing."""
    rx_exec(with_print, compute_context=remote(console_output=console_output))
    assert capsys.readouterr() == (shown, "")


def test_streams_stay_apart(remote, capsys):
    """stdout lines are printed to stdout and stderr lines to stderr."""
    rx_exec(with_descriptor, compute_context=remote(console_output=True))
    assert capsys.readouterr() == ("raw\n", "gr\u00fc\u00df\n")


def test_a_waiting_call_prints_lines_live(shared_path, tmp_path):
    """The lines appear while the run still runs."""
    code = (
        "import sys, rxsql\n"
        "import test_api_console as tests\n"
        "rxsql.rx_exec(tests.speak_and_hold, folder=sys.argv[2],"
        " compute_context=rxsql.RxInSqlServer(sys.argv[1], console_output=True))\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])]),
    }
    with subprocess.Popen(
        [sys.executable, "-c", code, f"sqlite:///{shared_path}", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as client:
        try:
            assert client.stdout.readline() == "first\n"  # the run is held, so this came while it runs
            assert client.poll() is None
        finally:
            (tmp_path / "go").touch()
        assert client.communicate(timeout=60)[0].endswith("last\n")


@pytest.mark.parametrize(
    ("context_says", "call_says", "shown"),
    [(False, None, ""), (True, None, "printed\n"), (False, True, "printed\n"), (True, False, "")],
)
def test_results_come_with_the_output(remote, capsys, context_says, call_says, shown):
    """`rx_get_job_results` prints the output first when the context, or rather the call, says so."""
    job = rx_exec(with_print, compute_context=remote(wait=False, console_output=context_says))
    rx_wait_for_job(job)
    assert capsys.readouterr().out == ""
    assert rx_get_job_results(job, call_says) == [None]
    assert capsys.readouterr().out == shown


def test_asking_for_the_output_removes_nothing(remote):
    """`rx_get_job_output` can be called again, and leaves the results alone."""
    job = rx_exec(with_print, compute_context=remote(wait=False))
    rx_wait_for_job(job)
    assert [rx_get_job_output(job) for _ in range(2)] == ["printed\n"] * 2
    assert rx_get_job_results(job) == [None]


def test_cleanup_removes_the_output(remote, shared_path):
    """After a forced cleanup no line of the job is left in the store."""
    job = rx_exec(with_print, compute_context=remote(wait=False))
    rx_wait_for_job(job)
    assert console(shared_path, job) == [(0, "stdout", "printed")]
    rx_cleanup_jobs(job, force=True, verbose=False)
    assert console(shared_path, job) == []
