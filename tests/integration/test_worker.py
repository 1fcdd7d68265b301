"""The worker as a process: what it runs, what it writes back, and what it survives."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import psutil
import pytest
from conftest import is_alive, wait_until
from support import suspend

from rxsql import (
    RxRemoteJobStatus,
    rx_cancel_job,
    rx_exec,
    rx_get_job_output,
    rx_get_job_results,
    rx_get_job_status,
    rx_wait_for_job,
)
from rxsql.errors import FailedRunsWarning, JobFailedError, WorkerStartError
from rxsql.store import workers
from rxsql.store.engine import open_store


def rows(path: Path, sql: str, *parameters: object) -> list[tuple]:
    """Read the store as a person with `sqlite3` would."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


def square(x):
    return x * x


def test_worker_starts_by_itself_and_is_listed(context, store_path):
    """A job on an SQLite store runs though nobody started a worker."""
    assert rx_exec(square, x=[1, 2, 3], compute_context=context()) == [1, 4, 9]
    (worker,) = [w for w in workers.list_workers(open_store(str(store_path))) if w.is_alive]
    assert worker.pid != os.getpid()


def test_second_job_uses_the_same_worker(context, store_path):
    """A live worker is used again."""
    for _ in range(3):
        rx_exec(square, x=2, compute_context=context())
    assert rows(store_path, "SELECT COUNT(*) FROM workers") == [(1,)]


def test_idle_worker_ends(context, store_path, monkeypatch):
    """A worker that started by itself ends when it has been idle, and the next job starts another."""
    monkeypatch.setenv("RXSQL_IDLE_EXIT_SECONDS", "0.3")
    assert rx_exec(square, x=2, compute_context=context()) == [4]
    wait_until(lambda: not rows(store_path, "SELECT 1 FROM workers WHERE stopped_at IS NULL"))
    assert rx_exec(square, x=3, compute_context=context()) == [9]
    assert rows(store_path, "SELECT COUNT(*) FROM workers") == [(2,)]


def test_worker_that_cannot_start_is_reported(context, store_path, monkeypatch):
    """The caller gets the reason, and no job waits in the store for ever."""
    monkeypatch.setenv("RXSQL_LEASE_SECONDS", "30")
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(WorkerStartError, match="could not be started"):
        rx_exec(square, x=2, compute_context=context())
    assert rows(store_path, "SELECT COUNT(*) FROM job_progress WHERE status IN ('queued', 'running')") == [
        (0,)
    ]


def test_killed_worker_is_replaced(context, store_path, tmp_path):
    """A waiting call survives the death of the worker it started: another takes over at once."""
    gate = tmp_path / "gate"

    def wait_for_gate(path):
        import pathlib
        import time

        while not pathlib.Path(path).exists():
            time.sleep(0.01)
        return "done"

    job = rx_exec(wait_for_gate, path=str(gate), compute_context=context(wait=False))
    (pid,) = wait_until(lambda: rows(store_path, "SELECT pid FROM workers JOIN slots USING (worker_key)"))[0]
    os.kill(pid, signal.SIGKILL)
    gate.touch()
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == ["done"]


def test_num_tasks_caps_children_over_all_workers(store_path, context, start_worker, tmp_path):
    """Three workers with room for six children never run more than two of a job that may have two."""
    for _ in range(3):
        start_worker(slots=2)

    def note(folder, i):
        import os
        import pathlib
        import time

        mine = pathlib.Path(folder, f"{os.getpid()}-{i}")
        mine.touch()
        seen = len(os.listdir(folder))
        time.sleep(0.005)
        mine.unlink()
        return seen, os.getpid()

    folder = tmp_path / "running"
    folder.mkdir()
    found = rx_exec(note, folder=str(folder), i=list(range(60)), compute_context=context(num_tasks=2))
    assert max(seen for seen, _ in found) <= 2
    assert len({pid for _, pid in found}) >= 2


def test_num_tasks_zero_uses_all_there_are(start_worker, context, tmp_path):
    """With num_tasks=0 a job gets every child of the worker: four runs meet at a barrier of four."""
    start_worker(slots=4)

    def meet(folder, i):
        import os
        import pathlib
        import time

        pathlib.Path(folder, str(i)).touch()
        while len(os.listdir(folder)) < 4:
            time.sleep(0.005)
        return i

    folder = tmp_path / "barrier"
    folder.mkdir()
    assert rx_exec(meet, folder=str(folder), i=[0, 1, 2, 3], compute_context=context(num_tasks=0)) == [
        0,
        1,
        2,
        3,
    ]


def test_packages_are_imported_before_the_first_run(context):
    """packages_to_load are in sys.modules when the function begins."""

    def loaded():
        import sys

        return "wave" in sys.modules, "colorsys" in sys.modules

    assert rx_exec(loaded, compute_context=context(packages_to_load=["wave"])) == [(True, False)]


def test_missing_package_fails_the_job_by_name(context):
    """A package that the worker lacks ends the job with a sentence that names it and the remedy."""
    with pytest.raises(JobFailedError, match="no_such_package_of_ours.*pip install"):
        rx_exec(square, x=1, compute_context=context(packages_to_load=["no_such_package_of_ours"]))


def test_time_limit_ends_the_job_and_its_code(context, tmp_path):
    """execution_timeout_seconds ends even code that ignores signals, and the error names the limit."""
    mark = tmp_path / "pid"

    def stubborn(path):
        import os
        import pathlib
        import signal
        import time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        pathlib.Path(path).write_text(str(os.getpid()))
        while True:
            time.sleep(0.01)

    with pytest.raises(JobFailedError, match="execution_timeout_seconds of 1 s"):
        rx_exec(stubborn, path=str(mark), compute_context=context(execution_timeout_seconds=1))
    wait_until(lambda: not psutil.pid_exists(int(mark.read_text())))


def test_cancel_ends_running_code_and_its_grandchildren(context, tmp_path):
    """A canceled job's processes end, those it started included, and its status stays canceled."""
    mark = tmp_path / "pids"

    def family(path):
        import os
        import pathlib
        import subprocess
        import time

        child = subprocess.Popen(["sleep", "600"])
        pathlib.Path(path).write_text(f"{os.getpid()} {child.pid}")
        while True:
            time.sleep(0.01)

    job = rx_exec(family, path=str(mark), compute_context=context(wait=False))
    pids = wait_until(lambda: mark.exists() and mark.read_text().split())
    assert rx_cancel_job(job) is True
    wait_until(lambda: not any(psutil.pid_exists(int(pid)) for pid in pids))
    assert rx_get_job_status(job) == "canceled"


def test_job_canceled_while_queued_never_starts(context, tmp_path, start_worker):
    """A job behind a busy slot that is canceled leaves no trace of having run."""
    start_worker(slots=1)
    gate, mark = tmp_path / "gate", tmp_path / "mark"

    def wait_for(path):
        import pathlib
        import time

        while not pathlib.Path(path).exists():
            time.sleep(0.01)

    def touch(path):
        import pathlib

        pathlib.Path(path).touch()

    first = rx_exec(wait_for, path=str(gate), compute_context=context(wait=False))
    wait_until(lambda: rx_get_job_status(first) == "running")
    second = rx_exec(touch, path=str(mark), compute_context=context(wait=False))
    assert rx_cancel_job(second)
    gate.touch()
    rx_wait_for_job(first)
    assert rx_exec(square, x=1, compute_context=context()) == [1]
    assert not mark.exists()
    assert rx_get_job_status(second) is RxRemoteJobStatus.CANCELED


def test_exit_of_the_child_blames_only_the_run_it_was_in(context, store_path):
    """os._exit in one run fails that run after its attempts, by exit code; the others have their results."""

    def sometimes(i):
        import os

        if i == 3:
            print("about to leave")
            os._exit(3)
        return i

    with pytest.warns(FailedRunsWarning, match="1 of 8 runs failed"):
        found = rx_exec(sometimes, i=list(range(8)), compute_context=context(auto_cleanup=False))
    assert [value for value in found if isinstance(value, int)] == [0, 1, 2, 4, 5, 6, 7]
    assert "exit code 3" in str(found[3])
    assert "attempt 3 of 3" in str(found[3])
    assert rows(store_path, "SELECT attempt, status FROM tasks WHERE task = 3") == [(3, "failed")]
    assert rows(store_path, "SELECT MAX(attempt) FROM tasks WHERE task <> 3") == [(1,)]
    assert rows(store_path, "SELECT COUNT(*) FROM console WHERE text = 'about to leave' AND run = 3") == [
        (3,)
    ]


def test_segfault_is_named_by_its_signal(context):
    """A run that crashes the interpreter fails with the signal's name."""

    def crash():
        import ctypes

        ctypes.string_at(0)

    with pytest.raises(JobFailedError, match="SIGSEGV"):
        rx_exec(crash, compute_context=context())


def test_death_inside_a_chunk_blames_one_run_and_keeps_the_finished_ones(context, tmp_path):
    """Runs of the same task before and after the deadly one have their results, and none ran twice."""
    log = tmp_path / "ran"

    def sometimes(i, log):
        import os

        with open(log, "a") as file:
            file.write(f"{i}\n")
        if i == 2:
            os._exit(1)
        return i

    with pytest.warns(FailedRunsWarning):
        found = rx_exec(
            sometimes, i=list(range(5)), log=str(log), task_chunk_size=5, compute_context=context()
        )
    assert [value for value in found if isinstance(value, int)] == [0, 1, 3, 4]
    assert sorted(log.read_text().split()) == ["0", "1", "2", "2", "2", "3", "4"]


def test_child_that_dies_while_loading_fails_the_job(context, tmp_path):
    """A function whose unpickling kills the process ends as a failed job, not as an endless loop."""

    class Bomb:
        def __reduce__(self):
            import os

            return os._exit, (7,)

    bomb = Bomb()
    with pytest.raises(JobFailedError, match="while it loaded the job: exit code 7"):
        rx_exec(lambda: bomb, compute_context=context())


def test_children_that_die_while_loading_now_and_then_fail_no_job(context, tmp_path):
    """Only those that die one after the other say that the job cannot be loaded, however long it goes on."""

    def die_at_odd_loads(log):
        import os

        with open(log, "a") as file:
            file.write("load\n")
        with open(log) as file:
            if len(file.readlines()) % 2:
                os._exit(7)
        return "loaded"

    class Fuse:
        def __reduce__(self):
            return die_at_odd_loads, (str(tmp_path / "loads"),)

    fuse, folder = Fuse(), str(tmp_path)

    def die_once(run):
        import os

        mark = f"{folder}/{run}"
        if not os.path.exists(mark):
            open(mark, "w").close()
            os._exit(8)
        return fuse

    assert rx_exec(die_once, run=list(range(4)), compute_context=context(num_tasks=1)) == ["loaded"] * 4
    assert len((tmp_path / "loads").read_text().split()) > 2 * 3


def test_result_that_cannot_be_pickled_fails_its_run(context):
    """The run fails by name of its type, and the others go on."""

    def make(i):
        return i if i else (x for x in "abc")

    with pytest.warns(FailedRunsWarning):
        found = rx_exec(make, i=[0, 1], compute_context=context())
    assert "(a generator) cannot be pickled" in str(found[0])
    assert found[1] == 1


def test_exception_that_cannot_be_rebuilt_keeps_its_text(context):
    """An exception class that breaks on unpickling still tells its type, message and traceback."""

    def fail():
        class Odd(Exception):
            def __init__(self, a, b):
                super().__init__(f"{a} and {b}")

        raise Odd(1, 2)

    with pytest.raises(JobFailedError, match="Odd: 1 and 2") as caught:
        rx_exec(fail, compute_context=context())
    assert "raise Odd(1, 2)" in caught.value.remote_traceback


def test_corrupt_rows_fail_their_runs_only(context, store_path, start_worker, tmp_path):
    """A damaged input, a deleted input and a damaged result are errors at their places."""
    worker = start_worker(slots=1)
    gate = tmp_path / "gate"

    def hold(path):
        import pathlib
        import time

        while not pathlib.Path(path).exists():
            time.sleep(0.01)

    blocker = rx_exec(hold, path=str(gate), compute_context=context(wait=False))
    wait_until(lambda: rx_get_job_status(blocker) == "running")
    job = rx_exec(square, x=[1, 2, 3, 4], compute_context=context(wait=False, auto_cleanup=False))
    key = "(SELECT job_key FROM jobs WHERE job_id = ?)"
    connection = sqlite3.connect(store_path)
    with connection:
        connection.execute(
            f"UPDATE task_rows SET input = X'00FF' WHERE task = 0 AND job_key = {key}", (job.job_id,)
        )
        connection.execute(
            f"UPDATE task_rows SET input = NULL WHERE task = 1 AND job_key = {key}", (job.job_id,)
        )
    gate.touch()
    rx_wait_for_job(job)
    with connection:
        connection.execute(
            f"UPDATE results SET body = X'52585031' WHERE run = 2 AND job_key = {key}", (job.job_id,)
        )
    connection.close()
    with pytest.warns(FailedRunsWarning, match="3 of 4"):
        found = rx_get_job_results(job)
    assert found[3] == 16
    assert "damaged" in str(found[0]) and "damaged" in str(found[2])
    assert "The input of task 1 is not in the store any more" in str(found[1])
    assert worker.poll() is None


def test_corrupt_function_fails_its_job_only(context, store_path, start_worker):
    """A damaged function row ends its job with a clear reason; the worker goes on."""
    worker = start_worker(slots=1)
    suspend(worker, store_path)
    job = rx_exec(square, x=1, compute_context=context(wait=False))
    connection = sqlite3.connect(store_path)
    with connection:
        connection.execute("UPDATE functions SET body = X'01'")
    connection.close()
    worker.send_signal(signal.SIGCONT)
    rx_wait_for_job(job)
    assert rx_get_job_status(job) == "failed"
    assert "damaged" in rx_get_job_results(job)
    assert rx_exec(lambda: 5, compute_context=context()) == [5]


def test_first_term_drains_and_second_requeues(store_path, context, start_worker, tmp_path):
    """After the first TERM a worker finishes what runs and takes nothing new; after the second it gives back."""
    worker = start_worker(slots=1)
    gate = tmp_path / "gate"

    def hold(path, i):
        import pathlib
        import time

        pathlib.Path(f"{path}-begun").touch()
        while not pathlib.Path(path).exists():
            time.sleep(0.01)
        return i

    job = rx_exec(hold, path=str(gate), i=[0, 1, 2], compute_context=context(wait=False))
    wait_until((tmp_path / "gate-begun").exists)
    worker.terminate()
    wait_until(lambda: rows(store_path, "SELECT COUNT(*) FROM tasks WHERE status = 'running'") == [(1,)])
    worker.terminate()
    assert worker.wait(timeout=20) == 0
    assert rows(store_path, "SELECT COUNT(*) FROM tasks WHERE status = 'queued'") == [(3,)]
    gate.touch()
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == [0, 1, 2]


def test_stop_and_continue_past_the_lease_is_refused(store_path, context, start_worker, tmp_path):
    """A worker stopped past its lease has its write refused, and the task's result is the second worker's."""
    first = start_worker(slots=1, lease_seconds=1)
    mark = tmp_path / "mark"

    def who(path):
        import os
        import pathlib
        import time

        mine = pathlib.Path(f"{path}-{os.getpid()}")
        mine.touch()
        while len(list(mine.parent.glob("mark-*"))) < 2:
            time.sleep(0.01)
        return os.getppid()

    job = rx_exec(who, path=str(mark), compute_context=context(wait=False))
    wait_until(lambda: list(tmp_path.glob("mark-*")))
    suspend(first, store_path)
    second = start_worker(slots=1, lease_seconds=1)
    rx_wait_for_job(job)
    first.send_signal(signal.SIGCONT)
    zygotes = {child.pid for child in psutil.Process(second.pid).children()}
    (found,) = rx_get_job_results(job)
    assert found in zygotes
    assert rx_exec(square, x=3, compute_context=context()) == [9]


def test_machine_that_slept_loses_no_job(store_path, context, start_worker, tmp_path):
    """Workers that all stood still past their leases go on: late heartbeats, no task is taken back or tried again."""
    both = [start_worker(slots=1, lease_seconds=3) for _ in range(2)]
    gate = tmp_path / "gate"

    def hold(path, number):
        import pathlib
        import time

        while not pathlib.Path(path).exists():
            time.sleep(0.01)
        return number

    job = rx_exec(
        hold,
        path=str(gate),
        number=[0, 1, 2, 3],
        compute_context=context(wait=False, num_tasks=2, auto_cleanup=False),
    )
    at_work = "SELECT COUNT(DISTINCT worker_key) FROM task_rows WHERE status = 'running'"
    wait_until(lambda: rows(store_path, at_work) == [(2,)])
    store = open_store(str(store_path))
    for worker in both:
        suspend(worker, store_path)
    wait_until(lambda: not any(worker.is_alive for worker in workers.list_workers(store)))
    for number, worker in enumerate(both, start=1):
        worker.send_signal(signal.SIGCONT)
        wait_until(lambda alive=number: sum(w.is_alive for w in workers.list_workers(store)) == alive)
    gate.touch()
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == [0, 1, 2, 3]
    assert rows(store_path, "SELECT attempt FROM tasks") == [(1,)] * 4
    said = "".join(log.read_text() for log in tmp_path.glob("worker-*.log"))
    assert "reaped" not in said and "lease_lost" not in said


def test_death_of_the_zygote_is_survived(store_path, context, start_worker, tmp_path):
    """When the forking process is killed the worker starts another, and the job ends well."""
    worker = start_worker(slots=2)
    gate = tmp_path / "gate"

    def hold(path):
        import pathlib
        import time

        while not pathlib.Path(path).exists():
            time.sleep(0.01)
        return "done"

    job = rx_exec(hold, path=str(gate), compute_context=context(wait=False))
    wait_until(lambda: rx_get_job_status(job) == "running")
    (zygote,) = psutil.Process(worker.pid).children()
    zygote.kill()
    gate.touch()
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == ["done"]
    assert worker.poll() is None


def test_nothing_is_left_of_a_killed_worker(context, store_path, start_worker, tmp_path):
    """SIGKILL of the worker ends zygote and children."""
    worker = start_worker(slots=2)
    mark = tmp_path / "pid"

    def hold(path):
        import os
        import pathlib
        import time

        pathlib.Path(path).write_text(str(os.getpid()))
        time.sleep(600)

    rx_exec(hold, path=str(mark), compute_context=context(wait=False))
    wait_until(lambda: mark.exists() and mark.read_text())
    family = psutil.Process(worker.pid).children(recursive=True)
    worker.kill()
    worker.wait()
    wait_until(lambda: not any(is_alive(process) for process in family))


def test_child_sees_little_of_the_workers_environment(start_worker, context, monkeypatch):
    """Children get an allow-list of the environment, an own folder that is removed, and no store."""
    monkeypatch.setenv("MY_SECRET", "1")
    monkeypatch.setenv("MY_NAMED", "2")
    start_worker(slots=1, environment="MY_NAMED")

    def look():
        import os

        places = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        # All but the listing's own, which is closed by now.
        return (
            dict(os.environ),
            os.getcwd(),
            [os.readlink(place) for place in places if os.path.lexists(place)],
        )

    ((environment, folder, files),) = rx_exec(look, compute_context=context())
    assert "MY_SECRET" not in environment and "RXSQL_STORE" not in environment
    assert environment["MY_NAMED"] == "2"
    assert environment["TMPDIR"] == folder
    assert not any("jobs.db" in name for name in files)
    wait_until(lambda: not Path(folder).exists())


def test_slow_run_does_not_hold_back_those_behind_it(context, start_worker, tmp_path):
    """One long run among tiny ones: all others end while it still runs."""
    start_worker(slots=2)
    gate = tmp_path / "gate"

    def work(i, path):
        import pathlib
        import time

        while i == 1500 and not pathlib.Path(path).exists():
            time.sleep(0.01)
        return i

    job = rx_exec(
        work,
        i=list(range(3000)),
        path=str(gate),
        compute_context=context(wait=False, num_tasks=2, auto_cleanup=False),
    )
    database = str(tmp_path / "jobs.db")
    wait_until(lambda: rows(Path(database), "SELECT done_runs FROM job_progress") == [(2999,)])
    gate.touch()
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == list(range(3000))


def test_small_job_behind_a_large_one_gets_a_child(context, start_worker, tmp_path):
    """A job of one run that comes in behind thousands of others is run while those wait."""
    start_worker(slots=2)
    stop = tmp_path / "stop"

    def spin(i, path):
        import pathlib
        import time

        if not pathlib.Path(path).exists():
            time.sleep(0.02)
        return i

    large = rx_exec(
        spin, i=list(range(20000)), path=str(stop), compute_context=context(wait=False, num_tasks=0)
    )
    wait_until(lambda: rx_get_job_status(large) == "running")
    assert rx_exec(square, x=7, compute_context=context()) == [49]
    assert rx_get_job_status(large) == "running"
    rx_cancel_job(large)


def test_unfinished_line_is_shown_after_a_moment(context, tmp_path):
    """A prompt without a line end appears while the run goes on, and the text is exact in the end."""
    gate = tmp_path / "gate"

    def prompt(path):
        import pathlib
        import time

        print("working ...", end="", flush=True)
        while not pathlib.Path(path).exists():
            time.sleep(0.01)
        print(" done")

    job = rx_exec(prompt, path=str(gate), compute_context=context(wait=False, auto_cleanup=False))
    wait_until(lambda: rx_get_job_output(job) == "working ...")
    gate.touch()
    rx_wait_for_job(job)
    assert rx_get_job_output(job) == "working ... done\n"


def test_a_progress_bar_is_shown_while_it_moves(context, tmp_path):
    """What is written without a line end or a pause appears while the run goes on, and the text is exact in the end."""
    gate = tmp_path / "gate"

    def count(path):
        import pathlib
        import time

        done = 0
        while not pathlib.Path(path).exists():
            print(".", end="", flush=True)
            done += 1
            time.sleep(0.01)
        return done

    job = rx_exec(count, path=str(gate), compute_context=context(wait=False, auto_cleanup=False))
    wait_until(lambda: rx_get_job_output(job).startswith("..."))
    gate.touch()
    rx_wait_for_job(job)
    (done,) = rx_get_job_results(job)
    assert rx_get_job_output(job) == "." * done


def test_streams_are_restored_between_runs(context):
    """A run that closes, replaces or redirects its streams does not silence the next one."""

    def spoil(i):
        import os
        import sys

        print("before", i)
        if i == 0:
            sys.stdout = None
        if i == 1:
            sys.stdout.close()
        if i == 2:
            os.close(1)
        if i == 3:
            os.dup2(os.open("/dev/null", os.O_WRONLY), 1)

    ctx = context(auto_cleanup=False, wait=False)
    job = rx_exec(spoil, i=[0, 1, 2, 3, 4], compute_context=ctx)
    rx_wait_for_job(job)
    assert rx_get_job_output(job).splitlines() == [f"before {i}" for i in range(5)]


def test_large_payloads_travel_both_ways(context):
    """Megabytes in and out are the same bytes."""
    data = os.urandom(5_000_000) + bytes(5_000_000)
    assert rx_exec(lambda data: data[::-1], data=data, compute_context=context()) == [data[::-1]]
    assert rx_exec(lambda data: len(data), data=[data, b""], compute_context=context()) == [len(data), 0]


def test_retention_purges_what_nobody_collected(start_worker, context, store_path):
    """After the retention time results and lines are gone, and the status is undetermined."""
    start_worker(slots=1, retention_seconds=0)
    job = rx_exec(square, x=2, compute_context=context(wait=False))
    wait_until(lambda: rx_get_job_status(job) == "undetermined")
    assert rows(store_path, "SELECT COUNT(*) FROM results") == [(0,)]
    assert "purged" in rx_get_job_results(job)


def test_clients_in_threads_share_a_store(context):
    """Several threads of one process submit and wait at the same time."""
    found: dict[int, list] = {}

    def client(i):
        found[i] = rx_exec(square, x=[i, i + 1], compute_context=context())

    threads = [threading.Thread(target=client, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: [i * i, (i + 1) ** 2] for i in range(6)}


def test_locked_store_delays_but_loses_nothing(context, store_path, start_worker):
    """Somebody holds the write lock longer than the worker waits: it goes on afterwards."""
    start_worker(slots=1, busy_timeout_seconds=0.1)
    job = rx_exec(lambda: time.sleep(0.2) or "kept", compute_context=context(wait=False))
    wait_until(lambda: rx_get_job_status(job) == "running")
    connection = sqlite3.connect(store_path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    log = store_path.parent / "worker-0.log"
    wait_until(lambda: "store.trouble" in log.read_text())
    connection.execute("ROLLBACK")
    connection.close()
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == ["kept"]


def test_one_file_is_left_when_all_have_ended(tmp_path):
    """When client and worker are gone the store is one file, its log folded in, and can be copied as it is."""
    import subprocess
    import sys

    path = tmp_path / "jobs.db"
    script = tmp_path / "script.py"
    script.write_text(
        "from rxsql import RxInSqlServer, rx_exec\n"
        f"print(rx_exec(round, number=3.2, compute_context=RxInSqlServer({str(path)!r}, auto_cleanup=False)))\n"
    )
    environment = {**os.environ, "RXSQL_IDLE_EXIT_SECONDS": "0.2"}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[3]\n", done.stderr
    wait_until(
        lambda: (
            sorted(p.name for p in tmp_path.iterdir() if "-worker" not in p.name) == ["jobs.db", "script.py"]
        )
    )


def test_module_to_preload_that_is_missing_is_reported(context, monkeypatch):
    """A worker whose RXSQL_PRELOAD cannot be imported does not start, and says which module is missing."""
    monkeypatch.setenv("RXSQL_PRELOAD", "no_such_module_of_ours")
    said = "(?s)No module named 'no_such_module_of_ours'.*exit code 1.*RXSQL_PRELOAD names no_such_module_of_ours"
    with pytest.raises(WorkerStartError, match=said):
        rx_exec(square, x=1, compute_context=context())


def test_a_module_to_preload_that_kills_is_reported(context, monkeypatch, tmp_path):
    """Where the process that imports it is killed, as for want of memory, the reason names the signal."""
    (tmp_path / "greedy_of_ours.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("RXSQL_PRELOAD", "greedy_of_ours")
    with pytest.raises(WorkerStartError, match="signal SIGKILL, probably out of memory"):
        rx_exec(square, x=1, compute_context=context())


def test_preloaded_modules_are_there_in_every_child(start_worker, context):
    """What RXSQL_PRELOAD names is imported before the first run of any job."""
    start_worker(slots=1, preload="wave, colorsys")

    def loaded():
        import sys

        return [name in sys.modules for name in ("wave", "colorsys")]

    assert rx_exec(loaded, compute_context=context()) == [[True, True]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("DELETE FROM functions", "function was deleted"),
        ("UPDATE jobs SET packages_to_load = 'numpy'", "packages_to_load is no JSON"),
        ("UPDATE jobs SET packages_to_load = '\"numpy\"'", "packages_to_load is no JSON array of names"),
        (
            "UPDATE jobs SET packages_to_load = '[\"os\\u0000sys\"]'",
            "packages_to_load is no JSON array of names",
        ),
    ],
)
def test_rows_changed_by_hand_fail_their_job_only(context, store_path, start_worker, change, reason):
    """A job whose function was deleted or whose options were spoiled fails and says so; the worker goes on."""
    worker = start_worker(slots=1)
    suspend(worker, store_path)
    job = rx_exec(square, x=1, compute_context=context(wait=False))
    connection = sqlite3.connect(store_path)
    with connection:
        connection.execute(change)
    connection.close()
    worker.send_signal(signal.SIGCONT)
    rx_wait_for_job(job)
    assert reason in rx_get_job_results(job)
    assert rx_exec(lambda: 5, compute_context=context()) == [5]
    assert worker.poll() is None


def test_task_whose_runs_are_all_done_ends(context, store_path, start_worker):
    """A task that comes back with nothing left to run ends, and its job with it."""
    worker = start_worker(slots=1)
    suspend(worker, store_path)
    job = rx_exec(square, x=[1, 2], compute_context=context(wait=False))
    connection = sqlite3.connect(store_path)
    with connection:
        connection.execute("UPDATE task_rows SET run_count = 0 WHERE task = 0")
    connection.close()
    worker.send_signal(signal.SIGCONT)
    rx_wait_for_job(job)
    assert rx_get_job_status(job) == "finished"
    with pytest.warns(FailedRunsWarning, match="1 of 2"):
        assert rx_get_job_results(job)[1] == 4
