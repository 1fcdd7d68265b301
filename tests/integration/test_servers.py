"""A server store in daily use: several workers as real processes, jobs of several clients, deaths and outages."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import SERVERS, wait_until
from support import (
    claim,
    counted,
    ended,
    lock_waits,
    new_job,
    register,
    rows_of,
    scalar,
    skip_on_babelfish,
    submit,
)

from rxsql import (
    RxInSqlServer,
    rx_cancel_job,
    rx_exec,
    rx_get_job_output,
    rx_get_job_results,
    rx_get_job_status,
    rx_get_jobs,
    rx_wait_for_job,
)
from rxsql.client.watch import why_not_running
from rxsql.errors import NoWorkerWarning, StoreError
from rxsql.payload import PYTHON
from rxsql.store import jobs, reaping, submission, tasks, workers, workitems
from rxsql.store.engine import Store, open_store
from rxsql.store.submission import add_job

pytestmark = pytest.mark.parametrize("any_url", SERVERS, indirect=True)

RXSQL = str(Path(sys.executable).with_name("rxsql"))

# Ends every connection to the database but the one that runs it, as a server does that goes down.
DISCONNECT = {
    "postgresql": (
        "SELECT PG_TERMINATE_BACKEND(pid) FROM pg_stat_activity "
        "WHERE datname = CURRENT_DATABASE() AND pid <> PG_BACKEND_PID()"
    ),
    "mssql": (
        "DECLARE @kill nvarchar(max) = N''; "
        "SELECT @kill += N'KILL ' + CAST(session_id AS nvarchar(10)) + N';' FROM sys.dm_exec_sessions "
        "WHERE database_id = DB_ID() AND session_id <> @@SPID; EXEC (@kill); SELECT 1"
    ),
}


@pytest.fixture
def server_url(any_url: str, store: Store) -> str:
    """The URL of a server's database that has the schema."""
    return any_url


@pytest.fixture
def context(server_url: str) -> Callable[..., RxInSqlServer]:
    """Make a compute context on this test's database; unless it says otherwise, a job may have all slots there are."""
    return lambda **options: RxInSqlServer(server_url, **{"num_tasks": 0} | options)


@pytest.fixture
def start(
    server_url: str, start_workers_on: Callable[..., Any]
) -> Callable[..., list[subprocess.Popen[bytes]]]:
    """Start workers on this test's database: how many, and their settings."""
    return lambda count=1, **settings: start_workers_on(server_url, count, **settings)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that the runs wait for."""
    return tmp_path / "gate"


def wait_at(gate: str, value: Any = "done") -> Any:
    """Tell that the run has begun, and wait until the gate is open."""
    import pathlib
    import time

    print(f"waiting {value}", flush=True)
    while not pathlib.Path(gate).exists():
        time.sleep(0.01)
    return value


def note(folder: str, log: str, number: int, seconds: float = 0.0) -> tuple[int, int]:
    """Be seen in a folder while running, and leave the number in a log; return the number, and who was seen."""
    import os
    import time

    line = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(line, b"%d\n" % number)
    os.close(line)
    mine = os.path.join(folder, f"{number}-{os.getpid()}")
    os.close(os.open(mine, os.O_CREAT))
    seen = len(os.listdir(folder))
    time.sleep(seconds)
    os.unlink(mine)
    return number, seen


@pytest.fixture
def noted(tmp_path: Path) -> dict[str, str]:
    """The folder and the log of `note`."""
    (tmp_path / "running").mkdir()
    return {"folder": str(tmp_path / "running"), "log": str(tmp_path / "runs.log")}


def begun(noted: dict[str, str]) -> Counter[int]:
    """How often each number was begun, as the runs themselves have written."""
    log = Path(noted["log"])
    return Counter(int(line) for line in log.read_text().splitlines()) if log.exists() else Counter()


# ------------------------------------------------------------------------------------------------ in daily use


def test_seed_example(context, start):
    """The example of the reference runs as it stands: submit, look, wait, look, results, output."""
    start(slots=1)

    def hello_from_sql():
        import time

        print("Hello from SQL server")
        time.sleep(0.2)
        return "We just ran Python code asynchronously on a SQL server!"

    job = rx_exec(
        function=hello_from_sql, compute_context=context(num_tasks=1, console_output=True, wait=False)
    )
    assert rx_get_job_status(job) in ("queued", "running")
    rx_wait_for_job(job)
    assert rx_get_job_status(job) == "finished"
    assert rx_get_job_output(job) == "Hello from SQL server\n"
    assert rx_get_job_results(job, console_output=False) == [
        "We just ran Python code asynchronously on a SQL server!"
    ]
    assert rx_get_job_status(job) == "undetermined"
    assert rx_get_jobs(context(), verbose=False) == []


def test_waiting_call_shows_output_and_returns_values(context, start, capfd):
    """A waiting call prints what the runs write, and returns their values in order."""
    start(slots=2)
    assert rx_exec(
        lambda x: print(f"run {x}") or x * x, x=[1, 2, 3], compute_context=context(console_output=True)
    ) == [1, 4, 9]
    assert sorted(capfd.readouterr().out.splitlines()) == ["run 1", "run 2", "run 3"]


def test_large_inputs_and_results(context, start):
    """Inputs and results far above what stands in a row come back byte for byte."""
    start(slots=1)
    body = os.urandom(3_000_000)
    assert rx_exec(lambda data, i: (i, data[::-1]), data=body, i=[0, 1], compute_context=context()) == [
        (0, body[::-1]),
        (1, body[::-1]),
    ]


def test_console_is_live(context, start, gate):
    """What a run has written can be read while it goes on."""
    start(slots=1)
    job = rx_exec(wait_at, gate=str(gate), compute_context=context(wait=False))
    wait_until(lambda: rx_get_job_output(job) == "waiting done\n")
    assert rx_get_job_status(job) == "running"
    gate.touch()
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == ["done"]


def test_workers_are_listed(store, start, server_url):
    """Each worker is listed with host, process, versions and slots, alive and with a heartbeat that goes on."""
    processes = start(2, slots=3, lease_seconds=3)
    listed = {worker.pid: worker for worker in workers.list_workers(store)}
    assert set(listed) == {process.pid for process in processes}
    for worker in listed.values():
        assert (worker.host, worker.python, worker.version) == (
            socket.gethostname(),
            PYTHON,
            version("rxsql"),
        )
        assert (worker.slots, worker.used_slots, worker.is_alive) == (3, 0, True)
        wait_until(
            lambda old=worker: any(
                new.worker_id == old.worker_id and new.heartbeat_at > old.heartbeat_at
                for new in workers.list_workers(store)
            )
        )
    shown = subprocess.run(
        [RXSQL, "workers", "--store", server_url],
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(str(process.pid) in shown.stdout for process in processes)


def test_two_jobs_share_the_workers(store, context, start, gate):
    """Of two jobs that could each take all slots, each gets half; when one ends, the other gets its slots."""
    where = context(wait=False)
    with pytest.warns(NoWorkerWarning):
        first, second = (
            rx_exec(wait_at, gate=str(gate) + name, value=list(range(8)), compute_context=where)
            for name in ("1", "2")
        )
    start(2, slots=2)
    held = "SELECT SUM(slots) FROM {rx}slots GROUP BY job_key"
    wait_until(lambda: rows_of(store, held) == [(2,), (2,)])
    Path(str(gate) + "1").touch()
    rx_wait_for_job(first)
    wait_until(lambda: rows_of(store, held) == [(4,)])
    Path(str(gate) + "2").touch()
    rx_wait_for_job(second)
    assert rx_get_job_results(first) == rx_get_job_results(second) == list(range(8))


def test_later_job_is_not_behind_an_earlier_one(context, start, noted):
    """A short job that comes when a long one has all slots ends before it."""
    start(2, slots=2)
    numbers = list(range(3000))
    long = rx_exec(note, **noted, seconds=0.002, number=numbers, compute_context=context(wait=False))
    wait_until(lambda: len(begun(noted)) > 20)
    assert rx_exec(lambda x: x, x=[1, 2, 3], compute_context=context()) == [1, 2, 3]
    assert rx_get_job_status(long) == "running"
    assert rx_cancel_job(long)


def test_cancel_ends_running_code(context, start, gate):
    """A canceled job's code ends, with all it started; nothing more of it is begun."""
    start(2, slots=1)

    def with_a_subprocess(gate, number):
        import os
        import pathlib
        import subprocess

        pathlib.Path(f"{gate}-{number}").write_text(str(os.getpid()))
        subprocess.run(["sleep", "600"])

    job = rx_exec(
        with_a_subprocess, gate=str(gate), number=list(range(9)), compute_context=context(wait=False)
    )
    found = wait_until(lambda: len(paths := list(gate.parent.glob("gate-*"))) == 2 and paths)
    pids = wait_until(lambda: all(texts := [path.read_text() for path in found]) and texts)
    family = [psutil.Process(int(pid)) for pid in pids]
    family += wait_until(lambda: len(subs := [sub for one in family for sub in one.children()]) == 2 and subs)
    assert rx_cancel_job(job)
    assert rx_get_job_status(job) == "canceled"
    wait_until(lambda: not any(one.is_running() for one in family))
    assert len(list(gate.parent.glob("gate-*"))) == 2


def test_statements_a_run(server_url, context, tmp_path):
    """Runs that do nothing cost client and worker together at most 60 statements a thousand, a worker's life included."""
    said, script = tmp_path / "statements", Path(__file__).parent.parent / "countingworker.py"
    reader, writer = os.pipe()
    worker = subprocess.Popen(
        [sys.executable, str(script), str(said), "--ready-fd", str(writer)],
        env={**os.environ, "RXSQL_STORE": server_url, "RXSQL_SLOTS": "2"},
        pass_fds=[writer],
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as ready:
        assert ready.read() == b"ready"
    own = counted(open_store(server_url), lambda: rx_exec(int, times_to_run=5000, compute_context=context()))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert own + len(said.read_text().splitlines()) <= 5 * 60


# -------------------------------------------------------------------------------------------- many workers


def test_cap_holds_over_all_workers(context, start, noted):
    """Three workers with room for six never run more than two of a job that may have two, as the runs see it."""
    start(3, slots=2)
    found = rx_exec(
        note, **noted, seconds=0.005, number=list(range(60)), compute_context=context(num_tasks=2)
    )
    assert [number for number, _ in found] == list(range(60))
    assert max(seen for _, seen in found) == 2


def test_race_of_eight_workers(store, context, start, noted):
    """Eight workers race for 1,500 tasks under a cap of 3: it is never exceeded, and no task runs twice."""
    start(8, slots=1)
    numbers = list(range(1500))
    job = rx_exec(note, **noted, number=numbers, compute_context=context(num_tasks=3, wait=False))
    rx_wait_for_job(job)
    assert begun(noted) == dict.fromkeys(numbers, 1)
    assert rows_of(store, "SELECT DISTINCT attempt FROM {rx}tasks") == [(1,)]
    found = rx_get_job_results(job)
    assert [number for number, _ in found] == numbers
    assert max(seen for _, seen in found) <= 3


@pytest.mark.parametrize("elsewhere", [False, True], ids=["this host", "another host"])
def test_killed_worker_is_replaced(store, context, start, noted, gate, elsewhere):
    """What a killed worker held is done by the others: at once on its host, elsewhere when its lease is over."""
    victim, *_ = start(2, slots=2, lease_seconds=1 if store.dialect.name == "postgresql" else 5)
    (key,) = [worker.worker_key for worker in workers.list_workers(store) if worker.pid == victim.pid]

    def hold(gate, number, **noted):
        note(number=number, **noted)
        return wait_at(gate, number)

    job = rx_exec(hold, gate=str(gate), number=list(range(12)), **noted, compute_context=context(wait=False))
    held = f"SELECT task FROM {{rx}}task_rows WHERE worker_key = {key} AND status = 'running'"
    wait_until(lambda: sum(begun(noted).values()) >= 4 and len(rows_of(store, held)) >= 2)
    if elsewhere:
        with store.write() as connection:
            connection.exec_driver_sql(f"UPDATE rx.workers SET host = 'elsewhere' WHERE worker_key = {key}")
    victim.send_signal(signal.SIGKILL)
    wait_until(lambda: not rows_of(store, held))
    gate.touch()
    rx_wait_for_job(job)
    assert rx_get_job_results(job, auto_cleanup=False) == list(range(12))
    again = {task for (task,) in rows_of(store, "SELECT task FROM {rx}tasks WHERE attempt > 1")}
    twice = {number for number, count in begun(noted).items() if count > 1}
    assert twice and twice <= again
    assert max(begun(noted).values()) == 2


# ---------------------------------------------------------------------------------------- taken for dead


def held_by(store: Store, worker: int) -> object:
    return scalar(store, f"SELECT COUNT(*) FROM {{rx}}task_rows WHERE worker_key = {worker}")


def test_a_claim_under_way_is_taken_back(store):
    """What a worker claims at the very moment in which it is taken for dead returns to the queue, too."""
    skip_on_babelfish(store, "ignores locking hints, by which the two wait for each other")
    worker = register(store, "w")
    job_key = submit(store, tasks=3)
    claim(store, worker, job_key, limit=1)
    reaper = threading.Thread(target=reaping.reap, args=(store, worker, ""))
    with store.write() as connection:
        parameters = {"worker_key": worker, "job_key": job_key, "limit": 1}
        assert len(connection.execute(store.sql("claim_tasks"), parameters).all()) == 1
        reaper.start()
        wait_until(lambda: lock_waits(store) or not reaper.is_alive())
    reaper.join()
    assert held_by(store, worker) == 0


def test_nothing_is_claimed_once_taken_for_dead(store):
    """A worker that claims while others take back what it has gets nothing more."""
    skip_on_babelfish(store, "ignores locking hints, by which the two wait for each other")
    worker = register(store, "w")
    job_key = submit(store, tasks=3)
    (task,) = claim(store, worker, job_key, limit=1)
    claimed: list[Any] = []

    def claim_more() -> None:
        claimed.extend(claim(store, worker, job_key, limit=1, slots_held=4))

    reaper = threading.Thread(target=reaping.reap, args=(store, worker, ""))
    late = threading.Thread(target=claim_more)
    with store.write() as connection:  # the reaper has to wait in the midst of its work
        assert tasks.holds(connection, store, worker, ended(task).outcomes[0])
        for number, thread in enumerate((reaper, late), start=1):
            thread.start()
            wait_until(lambda n=number, t=thread: lock_waits(store) == n or not t.is_alive())
    for thread in (reaper, late):
        thread.join()
    assert claimed == [] and held_by(store, worker) == 0


# ------------------------------------------------------------------------------------------------- functions

FUNCTIONS = "SELECT COUNT(*) FROM {rx}functions"


def purging_in_the_midst(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None
) -> None:
    """Let the next submission, between its function and its job, wait for the purge of the job `a`."""
    add_row = submission._add_row

    def purge_first(*arguments: Any) -> int:
        monkeypatch.setattr(submission, "_add_row", add_row)
        jobs.purge(store, "a")
        if error is not None:
            raise error
        return add_row(*arguments)

    monkeypatch.setattr(submission, "_add_row", purge_first)


def test_a_function_stays_for_who_submits_just_now(store, monkeypatch):
    """The purge of the last job that had it leaves it, also while nobody sees the next one yet."""
    skip_on_babelfish(store, "ignores locking hints, by which the one spares the other's function")
    submit(store, "a")
    purging_in_the_midst(store, monkeypatch)
    job_key = submit(store, "b")
    assert workitems.work_item(store, job_key).function == b"function"
    jobs.purge(store, "b")
    assert scalar(store, FUNCTIONS) == 0


def test_who_submits_waits_for_a_purge(store, monkeypatch):
    """A function that is just being removed is stored again."""
    skip_on_babelfish(store, "ignores locking hints, by which the one waits for the other")
    submit(store, "a")
    keys: list[int] = []
    late = threading.Thread(target=lambda: keys.append(submit(store, "b")))
    with store.write() as connection:
        jobs._purge(connection, store, jobs.job_state(store, "a"))
        late.start()
        wait_until(lambda: lock_waits(store) or not late.is_alive())
    late.join()
    assert workitems.work_item(store, keys[0]).function == b"function"


def test_a_function_that_was_left_is_swept(store, monkeypatch):
    """Where the submission that held it came to nothing; what jobs need stays."""
    skip_on_babelfish(store, "ignores locking hints, by which the one spares the other's function")
    submit(store, "a")
    submit(store, "needed", function=b"other")
    purging_in_the_midst(store, monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        submit(store, "b")
    assert scalar(store, FUNCTIONS) == 2
    jobs.purge_expired(store, retention_seconds=3600, tombstone_seconds=3600)
    assert rows_of(store, "SELECT body FROM {rx}functions") == [(b"other",)]


# --------------------------------------------------------------------------------------------------- outages


def disconnect(store: Store) -> None:
    """Cut all connections but the own one; SQL Server stops at one that has just ended by itself."""
    while True:
        try:
            with store.read() as connection:
                connection.exec_driver_sql(DISCONNECT[store.dialect.name]).all()
        except StoreError as error:
            if "is not an active process ID" not in str(error):
                raise
        else:
            return


def test_lost_connections(store, context, start, noted):
    """All connections are cut again and again: workers and waiting calls go on, nothing is lost or run twice."""
    processes = start(2, slots=1)
    numbers = list(range(60))
    results: list[Any] = []

    def wait() -> None:
        try:
            results.extend(rx_exec(note, **noted, number=numbers, seconds=0.03, compute_context=context()))
        except BaseException as error:
            results.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    for progress in range(2, 58, 4):
        wait_until(lambda seen=progress: len(begun(noted)) >= seen)
        disconnect(store)
    waiter.join()
    assert [number for number, _ in results] == numbers
    assert begun(noted) == dict.fromkeys(numbers, 1)
    assert [process.poll() for process in processes] == [None, None]


def test_connections_lost_while_idle(store, context, start):
    """After an idle worker's and client's connections were cut, the next job runs as if nothing had been."""
    (process,) = start(slots=1)
    assert rx_exec(lambda: 1, compute_context=context()) == [1]
    disconnect(store)
    assert rx_exec(lambda: 2, compute_context=context()) == [2]
    assert process.poll() is None


# ------------------------------------------------------------------------------------------ nobody there to run


def no_worker(store: Store, *, alive: str = "no worker is alive", python: str = PYTHON) -> str:
    """What is said of a job that no live worker can run."""
    return re.escape(f"it needs a worker with Python {python} on {store.label}, and {alive}. ")


def test_queue_without_worker_is_reported_and_waited_for(store, context, start):
    """A waiting call with no worker alive says so at once, in one line, and returns when one has come and run it."""
    results: list[Any] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        waiter = threading.Thread(
            target=lambda: results.extend(rx_exec(lambda: 42, compute_context=context()))
        )
        waiter.start()
        (warning,) = wait_until(lambda: list(caught))
        assert waiter.is_alive()
        start(slots=1)
        waiter.join()
    assert results == [42]
    assert warning.category is NoWorkerWarning and warning.filename == __file__
    text = str(warning.message)
    assert re.match(r"Job \S+ waits: " + no_worker(store), text)
    assert f"Start one with Python {PYTHON}: rxsql worker --store " in text and "\n" not in text


def test_long_lack_of_a_worker_is_reported_again(store, context, monkeypatch):
    """While no worker comes, the warning comes again, with the time waited, though Python shows a text only once."""
    monkeypatch.setattr("rxsql.client.watch._WARN_SECONDS", 1.0)
    with pytest.warns(NoWorkerWarning):
        job = rx_exec(lambda: 42, compute_context=context(wait=False))
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        monkeypatch.setattr(warnings, "showwarning", lambda message, *_, **__: said.append(str(message)))
        waiter = threading.Thread(target=rx_wait_for_job, args=(job,))
        waiter.start()
        wait_until(lambda: len(said) >= 3)
        rx_cancel_job(job)
        waiter.join()
    assert len(set(said)) == len(said)
    assert re.match(r"Job \S+ waits for \d+ s: it needs a worker", said[1])


def test_submission_without_worker_warns_once(store, context, start):
    """A call that does not wait warns when it submits, and only where no live worker could run the job."""
    where = context(wait=False)
    with pytest.warns(NoWorkerWarning, match=no_worker(store)) as caught:
        rx_exec(lambda: 1, compute_context=where)
    assert [warning.filename for warning in caught] == [__file__]
    start(slots=1)
    rx_wait_for_job(rx_exec(lambda: 1, compute_context=where))  # a warning would be an error


def test_other_versions_of_python_are_named(store, context):
    """Where live workers run other versions of Python, the reason names what is wanted and what there is."""
    workers.register(store, worker_id="a", python="3.99", version="1", slots=1, lease_seconds=30)
    workers.register(store, worker_id="b", python="3.98", version="1", slots=1, lease_seconds=30)
    late = workers.register(store, worker_id="c", python=PYTHON, version="1", slots=1, lease_seconds=30)
    reaping.reap(store, late, "")
    with pytest.warns(NoWorkerWarning, match=no_worker(store, alive="live workers run Python 3.98, 3.99")):
        job = rx_exec(lambda: 1, compute_context=context(wait=False))
    reason = why_not_running(store, jobs.get_job(store, job.job_id))
    assert reason is not None and re.match(
        no_worker(store, alive="live workers run Python 3.98, 3.99"), reason
    )


def test_status_says_why_a_job_waits(store, server_url):
    """`rxsql status` and `rxsql wait` name the version that a queued job needs; with a worker of it nothing is said."""
    add_job(store, new_job("j", python="3.99"), inline_bytes=512)

    def rxsql(command: str) -> Any:
        return [RXSQL, command, "j", "--store", server_url]

    shown = subprocess.run(rxsql("status"), capture_output=True, text=True)
    assert re.search("It waits: " + no_worker(store, python="3.99"), shown.stderr)
    waiting = subprocess.Popen(rxsql("wait"), stderr=subprocess.PIPE, text=True)
    line = waiting.stderr.readline()
    assert re.match(
        r"Job j waits( for \d+ s)?: " + no_worker(store, python="3.99"), line
    )  # a slow server takes some
    key = workers.register(store, worker_id="a", python="3.99", version="1", slots=1, lease_seconds=30)
    shown = subprocess.run(rxsql("status"), capture_output=True, text=True)
    assert "It waits" not in shown.stderr
    reaping.reap(store, key, "")
    jobs.cancel(store, "j")
    assert waiting.wait() == 3
    assert waiting.stderr.read() == ""
    waiting.stderr.close()


def test_ended_job_waits_for_nobody(store):
    """There is no reason why an ended job does not run, nor for one that a live worker can run."""
    submit(store, "a", python="3.99")
    assert why_not_running(store, jobs.get_job(store, "a")) is not None
    jobs.cancel(store, "a")
    assert why_not_running(store, jobs.get_job(store, "a")) is None
    submit(store, "b", python="3.11")
    register(store, "w")
    assert why_not_running(store, jobs.get_job(store, "b")) is None
