"""The command line, as real processes: what commands show, what they end with, and what a pipe gets of it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import stop_workers, wait_until

from rxsql import RxInSqlServer, RxRemoteJob, rx_exec, rx_get_job_status, rx_wait_for_job
from rxsql.cli.app import make_command

ID = r"\d{8}-\d{6}-[0-9a-f]{8}"
COMMAND = [sys.executable, "-m", "rxsql.cli"]
COMMANDS = [
    *("demo", "run", "jobs", "status", "wait", "logs", "results", "cancel", "cleanup", "worker", "workers"),
    *("db", "db init", "db status", "db script", "bench", "publish", "unpublish", "published"),
]
Context = Callable[..., RxInSqlServer]


class Ended(NamedTuple):
    """What a command left."""

    code: int
    stdout: str
    stderr: str


def rxsql(*arguments: Any, cwd: Path | None = None, **environment: str) -> Ended:
    """Run a command in a pipe, to its end."""
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)
    return Ended(done.returncode, done.stdout, done.stderr)


class Terminal:
    """A command in a terminal, by default of 80 columns."""

    def __init__(self, *arguments: Any, columns: int = 80, **environment: str) -> None:
        self.shown = ""
        self._fd, far_end = pty.openpty()
        fcntl.ioctl(far_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        variables = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        variables |= {"TERM": "xterm-256color"} | environment
        command = [*COMMAND, *map(str, arguments)]
        self.process = subprocess.Popen(command, env=variables, stdin=far_end, stdout=far_end, stderr=far_end)
        os.close(far_end)

    def until(self, text: str) -> None:
        """Read until a text is shown."""
        while text not in self.shown:
            assert self._read(), f"{text!r} was never shown in: {self.shown!r}"

    def ended(self) -> str:
        """Read to the end; return all that was shown."""
        while self._read():
            pass
        self.process.wait(timeout=20)
        os.close(self._fd)
        return self.shown

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # a terminal whose other end is closed
            return False
        self.shown += data.decode()
        return bool(data)


def add(x: int) -> int:
    """A run that speaks on both streams, and fails for 2."""
    print(f"x is {x}")
    print(f"warning {x}", file=sys.stderr)
    if x == 2:
        raise ValueError("two is too much")
    return x + 1


@pytest.fixture
def mixed(context: Context) -> str:
    """A finished job of four runs, of which run 2 failed."""
    job = rx_exec(add, x=[0, 1, 2, 3], compute_context=context(wait=False))
    rx_wait_for_job(job)
    return job.job_id


@pytest.fixture
def failed(context: Context) -> str:
    """A failed job of one run."""
    job = rx_exec(add, x=2, compute_context=context(wait=False))
    rx_wait_for_job(job)
    return job.job_id


class Shelf(NamedTuple):
    """A store that tests only read, and its two jobs."""

    path: Path
    mixed: str
    failed: str


@pytest.fixture(scope="module")
def full_shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """The shelf, made once: a finished job of four runs of which run 2 failed, then a failed job of one run."""
    path = tmp_path_factory.mktemp("shelf") / "jobs.db"
    context = RxInSqlServer(f"sqlite:///{path}", wait=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RXSQL_IDLE_EXIT_SECONDS", "3600")
        jobs = [rx_exec(add, x=x, compute_context=context) for x in ([0, 1, 2, 3], 2)]
    for job in jobs:
        rx_wait_for_job(job)
    yield Shelf(path, *(job.job_id for job in jobs))
    stop_workers(path)


@pytest.fixture
def shelf(full_shelf: Shelf, own_store: None, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The shelf, as the store that commands find without being told."""
    monkeypatch.setenv("RXSQL_STORE", str(full_shelf.path))
    return full_shelf


class Gate:
    """A job that says `ready` and goes on once the gate is open."""

    def __init__(self, context: Context, path: Path, runs: int) -> None:
        def pass_gate(gate: str) -> str:
            import os
            import time

            print("ready", flush=True)
            while not os.path.exists(gate):
                time.sleep(0.01)
            print("through")
            return "passed"

        self._path = path
        self.job: RxRemoteJob = rx_exec(
            pass_gate, gate=str(path), times_to_run=runs, compute_context=context(wait=False)
        )
        self.job_id = self.job.job_id
        wait_until(lambda: rx_get_job_status(self.job) == "running")

    def open(self) -> None:
        """Let the job go on."""
        self._path.touch()


@pytest.fixture
def gate(context: Context, tmp_path: Path) -> Iterator[Gate]:
    """A running job, which ends when it is let, and with the test."""
    made = Gate(context, tmp_path / "gate", 1)
    yield made
    made.open()


@pytest.fixture(autouse=True)
def own_store(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find this test's store without being told."""
    monkeypatch.setenv("RXSQL_STORE", str(store_path))


# -------------------------------------------------------------------------------------------------------- rxsql jobs


def test_jobs_table(shelf: Shelf) -> None:
    """`rxsql jobs` shows id, name, status, percent, failed and total runs and age, the newest job first."""
    done = rxsql("jobs")

    head, *rows = [line.split(maxsplit=6) for line in done.stdout.splitlines()]
    assert done.code == 0
    assert head == ["ID", "NAME", "STATUS", "DONE", "FAILED", "RUNS", "AGE"]
    assert [row[:6] for row in rows] == [
        [shelf.failed, "add", "failed", "100%", "1", "1"],
        [shelf.mixed, "add", "finished", "100%", "1", "4"],
    ]
    assert all(re.fullmatch(r"\d+ (s|min)", row[6]) for row in rows)


def test_jobs_of_a_status(shelf: Shelf) -> None:
    """`--status` picks jobs, several when it is repeated; a word that is no status is refused with the list of them."""
    assert [job["job_id"] for job in json.loads(rxsql("jobs", "--status", "failed", "--json").stdout)] == [
        shelf.failed
    ]
    both = rxsql("jobs", "--status", "failed", "--status", "finished", "--json").stdout
    assert [job["job_id"] for job in json.loads(both)] == [shelf.failed, shelf.mixed]
    wrong = rxsql("jobs", "--status", "done")
    assert wrong.code == 2
    assert "'queued', 'running', 'finished', 'failed', 'canceled'" in wrong.stderr


def test_jobs_as_json(shelf: Shelf) -> None:
    """`--json` gives every fact under the column's name, times as ISO 8601 in UTC."""
    _, job = json.loads(rxsql("jobs", "--json").stdout)

    assert {
        name: job[name] for name in ("job_id", "name", "status", "percent", "run_count", "failed_runs")
    } == {
        "job_id": shelf.mixed,
        "name": "add",
        "status": "finished",
        "percent": 100,
        "run_count": 4,
        "failed_runs": 1,
    }
    times = [job[name] for name in ("created_at", "started_at", "finished_at")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment) for moment in times)
    assert times == sorted(times)


def test_jobs_up_to_a_limit(shelf: Shelf) -> None:
    """`--limit` keeps the newest jobs, in the table with a note that there are more; 0 is no limit."""
    done = rxsql("jobs", "--limit", "1")
    assert len(done.stdout.splitlines()) == 2
    assert "rxsql jobs --limit 0" in done.stderr
    assert len(rxsql("jobs", "--limit", "0").stdout.splitlines()) == 3
    assert [job["job_id"] for job in json.loads(rxsql("jobs", "--limit", "1", "--json").stdout)] == [
        shelf.failed
    ]


def test_nothing_to_list(store_path: Path) -> None:
    """Without jobs or workers the next step is named, on stderr; a look does not make a store."""
    jobs, workers = rxsql("jobs"), rxsql("workers")

    assert (jobs.code, jobs.stdout) == (0, "")
    assert f"No jobs in {store_path}." in jobs.stderr
    assert "rxsql demo" in jobs.stderr
    assert (workers.code, workers.stdout) == (0, "")
    assert "rxsql worker" in workers.stderr
    assert "No running jobs" in rxsql("jobs", "--status", "running").stderr
    assert json.loads(rxsql("jobs", "--json").stdout) == json.loads(rxsql("workers", "--json").stdout) == []
    assert not store_path.exists()


def test_only_collected_jobs(mixed: str) -> None:
    """Where all results were taken, as the README's example does, it says so, and how such jobs are listed."""
    assert rxsql("cleanup", "--force", mixed).code == 0
    jobs = rxsql("jobs")

    assert (jobs.code, jobs.stdout) == (0, "")
    assert "but those whose results were taken or removed" in jobs.stderr
    assert mixed in rxsql("jobs", "--status", "undetermined").stdout


@pytest.mark.parametrize("command", [["jobs"], ["status", "any"], ["db", "status"]])
def test_store_that_cannot_be_looked_up(command: list[str], tmp_path: Path) -> None:
    """Where nobody can say whether there is a store, the reason stands in one sentence."""
    ended = rxsql(*command, "--store", tmp_path / f"{'long' * 64}.db")
    assert ended.code == 1
    assert re.fullmatch(r"error: The store .*long\.db cannot be opened for writing .*\n", ended.stderr)


# ------------------------------------------------------------------------------------------------------ rxsql status


def test_status_of_a_finished_job(shelf: Shelf) -> None:
    """`rxsql status` shows progress, tasks by state, error, local times, worker and store."""
    done = rxsql("status", shelf.mixed)

    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert done.code == 0
    assert shown["job"] == shelf.mixed
    assert shown["status"] == "finished"
    assert shown["progress"] == "4 of 4 runs, 1 failed"
    assert shown["tasks"] == "1 failed, 3 finished"
    assert shown["error"] == "1 of 4 runs failed, the first with ValueError: two is too much"
    assert shown["worker"] == json.loads(rxsql("workers", "--json").stdout)[0]["worker_id"]
    assert shown["store"] == str(shelf.path)
    created = json.loads(rxsql("status", shelf.mixed, "--json").stdout)["created_at"]
    assert shown["submitted"].startswith(
        f"{datetime.fromisoformat(created).astimezone():%Y-%m-%d %H:%M:%S} ("
    )
    assert f"rxsql results {shelf.mixed}" in done.stderr


def test_status_as_json(shelf: Shelf) -> None:
    """`--json` has tasks by state, workers and the context besides what `rxsql jobs --json` has."""
    job = json.loads(rxsql("status", shelf.mixed, "--json").stdout)
    (worker,) = json.loads(rxsql("workers", "--json").stdout)

    assert job.items() >= json.loads(rxsql("jobs", "--json").stdout)[1].items()
    assert job["tasks"] == {"failed": 1, "finished": 3}
    assert job["workers"] == [worker["worker_id"]]
    assert job["store"] == str(shelf.path)
    assert job["context"]["num_tasks"] == 1


def test_status_is_the_exit_code(gate: Gate, mixed: str, failed: str) -> None:
    """The exit code says where a job stands: 5 open, 0 finished, 1 failed, 3 canceled, 4 purged or never known."""
    assert [rxsql("status", job_id).code for job_id in (gate.job_id, mixed, failed)] == [5, 0, 1]
    assert rxsql("cancel", gate.job_id).code == 0
    assert rxsql("cleanup", "--force", mixed).code == 0
    assert [rxsql("status", job_id).code for job_id in (gate.job_id, mixed, "nobody")] == [3, 4, 4]


def test_status_of_a_job_that_waits_for_a_slot(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where other jobs have all slots, the status of a queued one says so, and what would help."""
    monkeypatch.setenv("RXSQL_SLOTS", "1")
    gate = Gate(context, tmp_path / "gate", 1)
    try:
        waiting = rx_exec(lambda: "ran", compute_context=context(wait=False))
        shown = rxsql("status", waiting.job_id)
        assert shown.code == 5
        assert (
            "It waits: other jobs have taken the only slot of the live workers. It begins when one of their runs ends, "
            "or with another worker: rxsql worker --store /"
        ) in " ".join(shown.stderr.split())
        assert json.loads(rxsql("status", "--json", waiting.job_id).stdout)["waits"].startswith(
            "other jobs have"
        )
    finally:
        gate.open()
    rx_wait_for_job(waiting)
    assert "waits" not in rxsql("status", waiting.job_id).stderr


@pytest.mark.parametrize("command", ["status", "wait", "logs", "logs -f", "results", "cancel", "cleanup"])
def test_unknown_job(command: str, shelf: Shelf) -> None:
    """An unknown id is one line on stderr that names it, and exit code 4; no traceback, nothing done."""
    done = rxsql(*command.split(), "nobody")

    assert (done.code, done.stdout) == (4, "")
    assert re.fullmatch(
        r"error: There is no job 'nobody' in the store \S+\. List what is there: rxsql jobs\n", done.stderr
    )


@pytest.mark.parametrize("command", ["status", "wait", "logs", "results", "cancel", "cleanup"])
def test_job_of_no_store(command: str, store_path: Path) -> None:
    """Where there is no store there is no job; it is not made by asking."""
    assert rxsql(command, "nobody").code == 4
    assert not store_path.exists()


def test_wrong_id_among_others(mixed: str, gate: Gate) -> None:
    """With several ids a wrong one is told before anything is done to the others."""
    for command in ("wait", "cancel", "cleanup"):
        assert rxsql(command, gate.job_id, "nobody").code == 4
    assert rx_get_job_status(gate.job) == "running"


# -------------------------------------------------------------------------------------------------------- rxsql wait


def test_wait_in_a_pipe(shelf: Shelf) -> None:
    """`rxsql wait` ends with the first job's code that did not finish, and prints a line a job without a bar."""
    assert rxsql("wait", shelf.mixed).code == 0
    done = rxsql("wait", shelf.mixed, shelf.failed)

    assert done.code == 1
    first, second = done.stdout.splitlines()
    assert re.fullmatch(rf"{shelf.mixed}  finished  4 of 4 runs, 1 failed  .*s", first)
    assert re.fullmatch(rf"{shelf.failed}  failed  1 of 1 run, 1 failed  .*s", second)
    assert done.stderr == "ValueError: two is too much\n"


def test_wait_in_a_terminal(gate: Gate) -> None:
    """In a terminal a progress bar shows how many runs have ended, until the last has."""
    terminal = Terminal("wait", gate.job_id)
    terminal.until("0/1")
    assert "━" in terminal.shown
    gate.open()
    shown = terminal.ended()

    assert terminal.process.returncode == 0
    assert "1/1" in shown
    assert "finished" in shown


def test_wait_in_a_narrow_terminal(gate: Gate) -> None:
    """In 40 columns a bar without the id still has its counts and the status."""
    terminal = Terminal("wait", gate.job_id, columns=40)
    terminal.until("0/1")
    gate.open()
    assert "1/1 runs finished" in _plain(terminal.ended())


def test_bar_leaves_room_for_a_ctrl_c(gate: Gate) -> None:
    """The ^C that a terminal shows behind a bar stays on its line, so that the bar's last state takes its place."""
    terminal = Terminal("wait", gate.job_id)
    terminal.until("0/1")
    gate.open()
    states = [line for line in re.split(r"[\r\n]+", _plain(terminal.ended())) if "━" in line]
    assert {len(state) for state in states} == {80 - len(" ^C")}


def test_interrupted_wait(gate: Gate) -> None:
    """Ctrl-C ends the wait with 130 and says how to take it up again; the job goes on."""
    terminal = Terminal("wait", gate.job_id)
    terminal.until("0/1")
    terminal.process.send_signal(signal.SIGINT)
    shown = terminal.ended()

    assert terminal.process.returncode == 130
    assert f"rxsql wait {gate.job_id}" in shown.replace("\r\n", "")
    assert "Traceback" not in shown
    gate.open()
    assert rxsql("wait", gate.job_id).code == 0


# -------------------------------------------------------------------------------------------------------- rxsql logs


def test_logs(shelf: Shelf) -> None:
    """`rxsql logs` gives each stream its lines, of all runs or of one."""
    assert rxsql("logs", shelf.mixed) == Ended(
        0, "".join(f"x is {x}\n" for x in range(4)), "".join(f"warning {x}\n" for x in range(4))
    )
    assert rxsql("logs", shelf.mixed, "--run", "3") == Ended(0, "x is 3\n", "warning 3\n")
    beyond = rxsql("logs", shelf.mixed, "--run", "4")
    assert beyond.code == 2
    assert "has 4 runs, counted from 0" in beyond.stderr


def test_logs_of_a_silent_job(context: Context) -> None:
    """Where nothing was written, or it was removed, that is said on stderr."""
    job = rx_exec(lambda: None, compute_context=context(wait=False))
    rx_wait_for_job(job)
    assert rxsql("logs", job.job_id) == Ended(0, "", f"Job {job.job_id} has written nothing.\n")
    rxsql("cleanup", "--force", job.job_id)
    assert rxsql("logs", job.job_id) == Ended(4, "", f"The output of job {job.job_id} was removed.\n")


def test_following_logs(gate: Gate) -> None:
    """`rxsql logs -f` shows a line while the job still runs, and ends with the job, with its code."""
    command = [*COMMAND, "logs", "-f", gate.job_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        assert rx_get_job_status(gate.job) == "running"
        assert process.poll() is None
        gate.open()
        rest, errors = process.communicate(timeout=20)

    assert (process.returncode, rest, errors) == (0, "through\n", "")


def test_following_a_failed_job(shelf: Shelf) -> None:
    """With -f the exit code is the job's."""
    assert rxsql("logs", "-f", shelf.failed).code == 1
    assert rxsql("logs", shelf.failed).code == 0


# ----------------------------------------------------------------------------------------------------- rxsql results


def test_results(shelf: Shelf) -> None:
    """Values go to stdout, the failed run's error and remote traceback to stderr; a look removes nothing."""
    for _ in range(2):
        done = rxsql("results", shelf.mixed)
        assert (done.code, done.stdout) == (1, "0  1\n1  2\n3  4\n")
        head, *trace = done.stderr.splitlines()
        assert head == "2  ValueError: two is too much"
        assert trace[0] == "   Traceback (most recent call last):"
        assert trace[-1] == "   ValueError: two is too much"
        assert not any("rxsql" in line and "test_cli" not in line for line in trace)


def test_results_of_one_run(shelf: Shelf) -> None:
    """`--run` shows one run, and its exit code is that run's."""
    assert rxsql("results", shelf.mixed, "--run", "3") == Ended(0, "3  4\n", "")
    assert rxsql("results", shelf.mixed, "--run", "2").code == 1
    assert rxsql("results", shelf.mixed, "--run", "4").code == 2


def test_results_as_json(context: Context) -> None:
    """`--json` has values where JSON has them, always their repr, and errors with their traceback."""

    def make(kind: str) -> Any:
        values = {"plain": {"a": [1, None, "é"]}, "set": {1}, "nan": float("nan")}
        return values[kind]

    job = rx_exec(make, kind=["plain", "set", "nan", "other"], compute_context=context(wait=False))
    rx_wait_for_job(job)
    done = rxsql("results", job.job_id, "--json")
    plain, other, nan, error = json.loads(done.stdout)

    assert (done.code, done.stderr) == (1, "")
    assert plain == {
        "run": 0,
        "value": {"a": [1, None, "é"]},
        "repr": "{'a': [1, None, 'é']}",
        "error": None,
        "traceback": None,
    }
    assert (other["value"], other["repr"]) == (None, "{1}")
    assert (nan["value"], nan["repr"]) == (None, "nan")
    assert (error["run"], error["value"], error["repr"], error["error"]) == (
        3,
        None,
        None,
        "KeyError: 'other'",
    )
    assert error["traceback"].startswith("Traceback")


def test_results_cleaned_up(mixed: str) -> None:
    """`--cleanup` shows the results, then removes them; it is refused together with --run."""
    assert rxsql("results", mixed, "--cleanup", "--run", "0").code == 2
    assert rxsql("results", mixed, "--cleanup").stdout == "0  1\n1  2\n3  4\n"
    gone = rxsql("results", mixed)
    assert (gone.code, gone.stdout) == (4, "")
    assert "were taken or removed before" in gone.stderr


def test_no_results(gate: Gate) -> None:
    """An unfinished job's results end with 5, a canceled one's with 3; the reason stands on stderr."""
    done = rxsql("results", gate.job_id)
    assert (done.code, done.stdout) == (5, "")
    assert f"is running and has no results yet. Wait for it: rxsql wait {gate.job_id}" in done.stderr
    rxsql("cancel", gate.job_id)
    done = rxsql("results", gate.job_id, "--json")
    assert (done.code, done.stdout) == (3, "[]\n")
    assert "was canceled" in done.stderr


def test_results_of_a_job_that_stopped(context: Context) -> None:
    """Of a job that failed half-way, the results there are are shown, and how many runs have none."""

    def work(x: int) -> int:
        import time

        if x == 1:
            raise ValueError("one is too little")
        time.sleep(600 * (x > 1))
        return x

    job = rx_exec(work, x=[0, 1, 2, 3], continue_on_failure=False, compute_context=context(wait=False))
    rx_wait_for_job(job)
    done = rxsql("results", job.job_id)

    assert (done.code, done.stdout) == (1, "0  0\n")
    assert done.stderr.startswith("1  ValueError: one is too little\n")
    assert "error: 2 runs have no result. The job failed: " in done.stderr


# ------------------------------------------------------------------------------------------ rxsql cancel and cleanup


def test_cancel(gate: Gate, mixed: str) -> None:
    """A running job is canceled; to cancel it again is no error, to cancel a finished one is."""
    assert rxsql("cancel", gate.job_id) == Ended(0, f"Canceled job {gate.job_id}.\n", "")
    assert rx_get_job_status(gate.job) == "canceled"
    assert rxsql("cancel", gate.job_id) == Ended(0, f"Job {gate.job_id} was canceled before.\n", "")
    assert rxsql("cancel", mixed) == Ended(1, "", f"error: Job {mixed} has ended already: finished.\n")


def test_cleanup_keeps_what_may_be_wanted(mixed: str, gate: Gate, failed: str) -> None:
    """Without --force a failed job goes, finished and running ones stay, with exit code 1 and the way out."""
    done = rxsql("cleanup", failed, mixed, gate.job_id)

    assert done.code == 1
    assert done.stdout.startswith(f"Job {failed}: removed ")
    assert f"rxsql results {mixed} --cleanup" in done.stderr
    assert f"Job {gate.job_id} was kept, as it is running" in done.stderr
    assert "Warning" not in done.stderr
    assert [rxsql("status", job_id).code for job_id in (failed, mixed, gate.job_id)] == [4, 0, 5]


def test_forced_cleanup(mixed: str) -> None:
    """With --force a finished job goes, results and all."""
    done = rxsql("cleanup", "--force", mixed)
    assert (done.code, done.stderr) == (0, "")
    assert rxsql("status", mixed).code == 4


def test_cleanup_of_all(mixed: str, failed: str) -> None:
    """`--all` applies the rule to every job and says how many it kept; with --force none is left."""
    done = rxsql("cleanup", "--all")
    assert (done.code, done.stdout.count("\n")) == (0, 1)
    assert "Kept 1 job that" in done.stderr
    assert rxsql("cleanup", "--all", "--force").code == 0
    assert rxsql("jobs", "--json").stdout == "[]\n"
    assert "No jobs to remove" in rxsql("cleanup", "--all").stderr


@pytest.mark.parametrize("arguments", [(), ("--all", "some-job")])
def test_cleanup_of_what(arguments: tuple[str, ...]) -> None:
    """`rxsql cleanup` wants either ids or --all."""
    done = rxsql("cleanup", *arguments)
    assert done.code == 2
    assert "Name the jobs, or give --all." in done.stderr


# --------------------------------------------------------------------------------------- rxsql worker and workers


@contextmanager
def running_worker(*options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A worker started by its command, ended at the end."""
    command = [*COMMAND, "worker", *options]
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=20)


def test_worker(context: Context) -> None:
    """`rxsql worker` runs jobs with the slots it is told, is listed while it lives, and ends with 0 when asked to."""
    with running_worker("--slots", "3") as process:
        wait_until(lambda: json.loads(rxsql("workers", "--json").stdout))
        job = rx_exec(add, x=1, compute_context=context(wait=False))
        rx_wait_for_job(job)
        (listed,) = json.loads(rxsql("workers", "--json").stdout)
        head, row = [line.split() for line in rxsql("workers").stdout.splitlines()]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0

    assert head == ["ID", "HOST", "PID", "PYTHON", "VERSION", "SLOTS", "HEARTBEAT", "ALIVE"]
    assert row[:1] + row[2:4] == [
        listed["worker_id"],
        str(process.pid),
        f"{sys.version_info[0]}.{sys.version_info[1]}",
    ]
    assert (row[5][-2:], row[-1]) == ("/3", "yes")
    assert (listed["pid"], listed["slots"], listed["is_alive"], listed["stopped_at"]) == (
        process.pid,
        3,
        True,
        None,
    )
    assert json.loads(rxsql("workers", "--json").stdout) == []
    (stopped,) = json.loads(rxsql("workers", "--all", "--json").stdout)
    assert (stopped["is_alive"], stopped["worker_id"]) == (False, listed["worker_id"])
    assert rxsql("workers", "--all").stdout.splitlines()[1].endswith("stopped")


def test_worker_that_ends_when_idle() -> None:
    """With --exit-when-idle a worker without work ends by itself, with 0."""
    with running_worker("--exit-when-idle", RXSQL_IDLE_EXIT_SECONDS="0.1") as process:
        assert process.wait(timeout=30) == 0


def test_worker_that_cannot_start(tmp_path: Path) -> None:
    """A worker whose store is none ends with 1 and says why."""
    (tmp_path / "text.db").write_text("not a database " * 100)
    done = rxsql("worker", "--store", tmp_path / "text.db")
    assert done.code == 1
    assert "is not an SQLite file" in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------------------------------------------------- rxsql db


def test_db(store_path: Path) -> None:
    """`db status` is 1 before and 0 after `db init`, which may be repeated."""
    before = rxsql("db", "status")
    assert before.code == 1
    assert "rxsql db init" in before.stderr
    assert not store_path.exists()

    assert rxsql("db", "init") == Ended(0, f"{store_path} now has schema version 2.\n", "")
    assert rxsql("db", "init") == Ended(0, f"{store_path} has schema version 2.\n", "")
    after = rxsql("db", "status")
    assert (after.code, after.stderr) == (0, "")
    assert dict(line.split(maxsplit=1) for line in after.stdout.splitlines()) == {
        "store": str(store_path),
        "dialect": "sqlite",
        "schema": "version 2",
        "jobs": "none",
        "workers": "0 alive",
    }


def test_db_status_as_json(shelf: Shelf) -> None:
    """`db status --json` has the versions, the jobs by status and the workers that live."""
    assert json.loads(rxsql("db", "status", "--json").stdout) == {
        "store": str(shelf.path),
        "dialect": "sqlite",
        "is_ready": True,
        "schema_version": 2,
        "expected_version": 2,
        "jobs": {"failed": 1, "finished": 1},
        "live_workers": 1,
    }


def test_newer_store(store_path: Path) -> None:
    """A store of a newer version is told by `db status`, and refused by other commands, with what to do."""
    rxsql("db", "init")
    with sqlite3.connect(store_path) as connection:
        connection.execute("INSERT INTO schema_version (version) VALUES (99)")
    connection.close()

    status, init, jobs = rxsql("db", "status"), rxsql("db", "init"), rxsql("jobs")
    assert (status.code, init.code, jobs.code) == (1, 1, 1)
    assert all("pip install --upgrade rxsql" in done.stderr for done in (status, init, jobs))


def test_db_script(tmp_path: Path) -> None:
    """`db script` prints SQL that makes the tables and views; another dialect's name is refused with those there are."""
    done = rxsql("db", "script", "--dialect", "sqlite")
    connection = sqlite3.connect(tmp_path / "made.db")
    connection.executescript(done.stdout)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()

    assert {"jobs", "tasks", "console", "workers"} <= names
    assert rxsql("db", "script") == done
    wrong = rxsql("db", "script", "--dialect", "oracle")
    assert wrong.code == 2
    assert "'oracle' is none of:" in wrong.stderr


# ------------------------------------------------------------------------------------------------ help and manners


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command's help has examples that are calls of it, its exit codes, and help for each of its options."""
    with pytest.raises(SystemExit) as ended:
        make_command()([*command.split(), "--help"], prog_name="rxsql")
    done = Ended(ended.value.code, *capsys.readouterr())

    assert (done.code, done.stderr) == (0, "")
    examples = done.stdout.split("Examples:")[1].split("Exit codes:")[0].strip().splitlines()
    assert any(f"rxsql {command}" in example for example in examples)
    assert "Exit codes:" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    options = done.stdout.split("Options:")[1].split("Examples:")[0]
    assert all(re.match(r"  \S.*?(  \S|$)", line) for line in options.splitlines() if line.startswith("  -"))
    if command not in ("db", "db script"):
        assert "--store STORE" in options


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_commands_are_told_above(command: str) -> None:
    """The help of the whole names every command, whose first line is not cut; -h is --help."""
    done = rxsql("-h")
    name = command.split(" ")[0]
    assert re.search(rf"^  {name}\s+\S.*\.$", done.stdout, re.M) if name else "Exit codes:" in done.stdout
    assert "..." not in done.stdout.split("Start here:")[1]


def test_nothing_said() -> None:
    """Without a command the help is shown, as wrong usage; so is an unknown command, in one line."""
    assert rxsql().code == 2
    assert "Start here:" in "".join(rxsql()[1:])
    wrong = rxsql("job")
    assert wrong.code == 2
    assert "No such command 'job'" in wrong.stderr


def test_version() -> None:
    """`--version` prints the version of the package."""
    from importlib.metadata import version

    assert rxsql("--version") == Ended(0, f"rxsql {version('rxsql')}\n", "")


def test_console_script() -> None:
    """The script that the package installs is this command line."""
    script = Path(sys.executable).with_name("rxsql")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == rxsql("--version").stdout


def test_help_is_quick() -> None:
    """Help imports neither the store's libraries nor cloudpickle."""
    code = "import sys\nsys.argv[1:] = ['--help']\nfrom rxsql.cli import main\ntry:\n    main()\nexcept SystemExit:\n    "
    code += "print('IMPORTED', sorted({'sqlalchemy', 'cloudpickle', 'loky'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("IMPORTED []\n")


def test_setting_of_the_wrong_type() -> None:
    """A wrong setting is one designed line, and exit code 1."""
    done = rxsql("jobs", RXSQL_SLOTS="many")
    assert (done.code, done.stdout) == (1, "")
    assert re.fullmatch(r"error: RXSQL_SLOTS must be .*, not 'many'\.\n", done.stderr)


def test_store_by_option(tmp_path: Path, shelf: Shelf) -> None:
    """`--store` takes a path or a URL, and wins over RXSQL_STORE."""
    other = {"RXSQL_STORE": str(tmp_path / "other.db")}
    there = rxsql("jobs", "--json").stdout  # the table tells ages, which change
    for name in (shelf.path, f"sqlite:///{shelf.path}"):
        assert rxsql("jobs", "--json", "--store", name, **other).stdout == there
    assert rxsql("jobs", **other).stdout == ""
    assert rxsql("jobs", "--json", "--store", "jobs.db", cwd=shelf.path.parent, **other).stdout == there


def test_colour_in_a_terminal_only(shelf: Shelf) -> None:
    """A terminal of 80 columns gets colours and no longer lines; a pipe gets no escape codes, nor does NO_COLOR."""
    escape = "\x1b["
    for command in (
        ["jobs"],
        ["status", shelf.mixed],
        ["workers"],
        ["results", shelf.mixed],
        ["wait", shelf.failed],
        ["jobs", "--help"],
    ):
        assert escape not in "".join(rxsql(*command)[1:])
    shown = Terminal("jobs").ended()
    assert escape in shown
    plain = _plain(shown)
    assert max(map(len, plain.splitlines())) <= 80
    assert plain.replace("\r", "").splitlines()[0] == rxsql("jobs").stdout.splitlines()[0]
    assert "\x1b[3" not in Terminal("jobs", NO_COLOR="1").ended()


def test_long_names(context: Context) -> None:
    """A long function name is cut in a terminal, so that rows stay on one line, and whole in a pipe."""

    def a_function_whose_name_is_much_longer_than_a_terminal_of_eighty_columns_would_have_room_for() -> (
        None
    ): ...

    job = rx_exec(
        a_function_whose_name_is_much_longer_than_a_terminal_of_eighty_columns_would_have_room_for,
        compute_context=context(wait=False),
    )
    rx_wait_for_job(job)
    lines = _plain(Terminal("jobs").ended()).splitlines()

    assert [len(line) <= 80 for line in lines] == [True, True]
    assert "…" in lines[1]
    assert "_would_have_room_for  finished" in rxsql("jobs").stdout


@pytest.mark.parametrize("command", ["jobs", "workers"])
def test_narrow_terminal(command: str, shelf: Shelf) -> None:
    """In 40 columns a row goes on in the next line: no id, status or number is cut."""
    narrow, wide = _plain(Terminal(command, columns=40).ended()).split(), rxsql(command).stdout.split()
    drop = re.compile(r"\d+|s|min")  # ages may differ
    assert [word for word in narrow if not drop.fullmatch(word)] == [
        word for word in wide if not drop.fullmatch(word)
    ]


def _plain(shown: str) -> str:
    """Return what a terminal shows, without the codes for colours, lines and the cursor."""
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown)


def test_interrupted_start(tmp_path: Path) -> None:
    """A Ctrl-C while a command is still being loaded ends it quietly, with 130."""
    (tmp_path / "typer.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    ended = rxsql("jobs", PYTHONPATH=str(tmp_path))
    assert ended == (130, "", "")


def test_reader_that_leaves(shelf: Shelf) -> None:
    """A pipe whose reader leaves early (`| head -1`) makes no noise."""
    command = f"{sys.executable} -m rxsql.cli status {shelf.mixed} --json | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""
