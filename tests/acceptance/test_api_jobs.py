"""Jobs of non-waiting contexts: where they stand, what they give, how they are listed, canceled and cleaned up."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from conftest import stop_workers, wait_until

from rxsql import (
    RxInSqlServer,
    RxRemoteJob,
    RxRemoteJobStatus,
    rx_cancel_job,
    rx_cleanup_jobs,
    rx_exec,
    rx_get_job_info,
    rx_get_job_output,
    rx_get_job_results,
    rx_get_job_status,
    rx_get_jobs,
    rx_set_compute_context,
    rx_wait_for_job,
    rxg_last_pending_job,
)
from rxsql.client import submitting
from rxsql.errors import (
    FailedRunsWarning,
    JobCanceledError,
    JobExistsError,
    JobFailedError,
    JobNotFoundError,
    NotSupportedError,
    PurgedJobWarning,
    RxSqlError,
    UncollectedResultsWarning,
)


@pytest.fixture(scope="module")
def shared_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The path of a store for all tests of this module that do not look at all of its jobs."""
    path = tmp_path_factory.mktemp("store") / "jobs.db"
    yield path
    stop_workers(path)


@pytest.fixture
def remote(shared_path: Path) -> Callable[..., RxInSqlServer]:
    """Make a non-waiting context on the shared store."""

    def make(**options: object) -> RxInSqlServer:
        return RxInSqlServer(f"sqlite:///{shared_path}", **{"wait": False, **options})

    return make


def square(x):
    print(f"squaring {x}")
    return x * x


def fail(x=0):
    raise ValueError(f"bad {x}")


def hold(folder):
    """Say that it runs, and run until it is let go."""
    print("holding")
    with open(os.path.join(folder, "started"), "w") as file:
        file.write(str(os.getpid()))
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.005)
    return "let go"


def count_beside(folder, number):
    """Run for longer than a job keeps a child that others could use; return how many ran at once meanwhile."""
    mark = Path(folder, f"runs-{number}")
    mark.touch()
    most, end = 0, time.monotonic() + 0.4
    while time.monotonic() < end:
        most = max(most, len(list(mark.parent.glob("runs-*"))))
        time.sleep(0.005)
    mark.unlink()
    return most


def finished(job: RxRemoteJob | str) -> RxRemoteJob | str:
    """Return the job when it has ended."""
    rx_wait_for_job(job)
    return job


# ------------------------------------------------------------------------------------------------- statuses


def test_a_job_goes_from_queued_to_finished(remote, tmp_path):
    """A non-waiting call returns a job at once, which runs, finishes and keeps its result until it is asked for."""
    job = rx_exec(hold, folder=str(tmp_path), compute_context=remote())
    assert isinstance(job, RxRemoteJob)
    assert rx_get_job_status(job) in (RxRemoteJobStatus.QUEUED, RxRemoteJobStatus.RUNNING)
    wait_until((tmp_path / "started").exists)
    assert rx_get_job_status(job) == "running"
    (tmp_path / "go").touch()
    assert rx_wait_for_job(job) is None
    assert rx_get_job_status(job) is RxRemoteJobStatus.FINISHED
    assert rx_get_job_results(job) == ["let go"]


def test_a_job_waits_for_its_turn(context, tmp_path, monkeypatch):
    """A job is queued while the worker's only slot is taken."""
    monkeypatch.setenv("RXSQL_SLOTS", "1")
    where = context(wait=False)
    first = rx_exec(hold, folder=str(tmp_path), compute_context=where)
    wait_until((tmp_path / "started").exists)
    second = rx_exec(square, x=2, compute_context=where)
    assert rx_get_job_status(second) == "queued"
    assert "has not finished: it is queued" in rx_get_job_results(second)
    (tmp_path / "go").touch()
    assert [rx_get_job_results(finished(job)) for job in (first, second)] == [["let go"], [4]]


def test_runs_of_many_jobs_keep_to_the_slots(context, tmp_path, monkeypatch):
    """However many jobs wait behind long runs, their worker has no more of them at once than it has slots."""
    monkeypatch.setenv("RXSQL_SLOTS", "2")
    where = context(wait=False, num_tasks=0)
    folder = str(tmp_path)
    large = rx_exec(count_beside, folder=folder, number=[1, 2, 3, 4], compute_context=where)
    small = [
        rx_exec(count_beside, folder=folder, number=number, compute_context=where) for number in range(5, 9)
    ]
    counts = [count for job in (large, *small) for count in rx_get_job_results(finished(job))]
    assert len(counts) == 8
    assert max(counts) == 2


def test_a_job_gets_the_place_of_the_run_that_ends_next(context, tmp_path, monkeypatch):
    """Where a job is to give a place to another, it is that of the run that ends next, and not of a certain one."""
    monkeypatch.setenv("RXSQL_SLOTS", "2")
    where = context(wait=False, num_tasks=0)

    def hold_first(number, folder):
        while number == 0 and not os.path.exists(os.path.join(folder, "go")):
            Path(folder, "started").touch()
            time.sleep(0.005)
        time.sleep(0.005)

    large = rx_exec(hold_first, number=list(range(5000)), folder=str(tmp_path), compute_context=where)
    wait_until((tmp_path / "started").exists)
    for number in range(3):
        assert rx_get_job_results(finished(rx_exec(square, x=number, compute_context=where))) == [number**2]
    assert rx_get_job_status(large) == "running"
    rx_cancel_job(large)


def test_statuses_of_ended_jobs(remote):
    """Failed jobs say so, purged ones are undetermined, unknown ids are missing."""
    failed = finished(rx_exec(fail, compute_context=remote()))
    assert rx_get_job_status(failed) is RxRemoteJobStatus.FAILED
    purged = finished(rx_exec(square, x=2, compute_context=remote()))
    rx_get_job_results(purged)
    assert rx_get_job_status(purged) is RxRemoteJobStatus.UNDETERMINED
    assert rx_get_job_status(RxRemoteJob(remote(), "never-submitted")) is RxRemoteJobStatus.MISSING


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"x": [1, 2], "continue_on_failure": True}, "failed"),
        ({"function": "some", "x": [0, 1]}, "finished"),
        ({"function": "some", "x": [0, 1], "continue_on_failure": False}, "failed"),
    ],
)
def test_a_job_is_failed_when_all_runs_are_or_it_was_not_to_go_on(remote, arguments, status):
    """All runs failed, or one under `continue_on_failure=False`: failed. Some failed: finished."""

    def some(x):
        if x:
            raise ValueError("bad")

    function = some if arguments.pop("function", "") == "some" else fail
    job = finished(rx_exec(function, compute_context=remote(), **arguments))
    assert rx_get_job_status(job) == status


def test_a_purged_job_leaves_when_its_retention_is_over(context, monkeypatch):
    """What nobody collected is purged after the retention time; then the status is undetermined."""
    monkeypatch.setenv("RXSQL_RETENTION_SECONDS", "0")
    job = rx_exec(square, x=2, compute_context=context(wait=False))
    wait_until(lambda: rx_get_job_status(job) is RxRemoteJobStatus.UNDETERMINED, seconds=60)
    assert "was purged" in rx_get_job_results(job)


# ------------------------------------------------------------------------------------------------- results


def test_messages_instead_of_results(remote, tmp_path):
    """An unfinished, failed, canceled or purged job gives a message that says which."""
    running = rx_exec(hold, folder=str(tmp_path), compute_context=remote())
    wait_until((tmp_path / "started").exists)
    assert rx_get_job_results(running) == (
        f"The results of job {running.job_id} are not available, because it has not finished: it is running."
    )
    rx_cancel_job(running)
    assert rx_get_job_results(running).endswith("because it was canceled.")
    failed = finished(rx_exec(fail, compute_context=remote()))
    assert rx_get_job_results(failed).endswith("because it has failed: ValueError: bad 0.")
    purged = finished(rx_exec(square, x=2, compute_context=remote()))
    rx_get_job_results(purged)
    assert "because it was purged" in rx_get_job_results(purged)


def test_auto_cleanup_removes_what_was_taken(remote):
    """With `auto_cleanup` results and output vanish with the first taking; without it they stay."""
    once = finished(rx_exec(square, x=2, compute_context=remote()))
    assert rx_get_job_results(once) == [4]
    assert "was purged" in rx_get_job_results(once)
    with pytest.warns(PurgedJobWarning, match="purged"):
        assert rx_get_job_output(once) == ""
    kept = finished(rx_exec(square, x=2, compute_context=remote(auto_cleanup=False)))
    assert [rx_get_job_results(kept) for _ in range(2)] == [[4], [4]]
    assert rx_get_job_output(kept) == "squaring 2\n"
    rx_cleanup_jobs(kept, force=True, verbose=False)
    assert rx_get_job_status(kept) == "undetermined"


class OnlyOnTheWorker:
    """A value that its sender's process cannot read."""

    def __init__(self, home: int) -> None:
        self.home = home

    def __setstate__(self, state: dict[str, int]) -> None:
        if os.getpid() == state["home"]:
            raise ModuleNotFoundError("No module named 'of_the_worker'")
        self.__dict__.update(state)


def test_what_cannot_be_read_here_is_not_removed(shared_path):
    """A value that this process cannot read is an error at its place, and stays for a process that can."""
    context = RxInSqlServer(str(shared_path), wait=False)
    job = rx_exec(lambda x: OnlyOnTheWorker(x), x=os.getpid(), compute_context=context)
    rx_wait_for_job(job)
    with pytest.warns(FailedRunsWarning, match="stay in the store"):
        (error,) = rx_get_job_results(job)
    assert isinstance(error, ModuleNotFoundError)
    assert rx_get_job_status(job) == "finished"


def test_a_waiting_call_keeps_what_it_cannot_read(shared_path):
    """A waiting call does not remove it either; the job is there for others, by its id."""
    context = RxInSqlServer(str(shared_path), job_id=f"unread-{os.getpid()}")
    with pytest.warns(FailedRunsWarning, match="stay in the store"):
        rx_exec(lambda x: OnlyOnTheWorker(x), x=os.getpid(), compute_context=context)
    assert rx_get_job_status(RxRemoteJob(context, f"unread-{os.getpid()}")) == "finished"


def test_auto_cleanup_is_overridden_per_call(remote):
    """`rx_get_job_results(auto_cleanup=...)` counts more than the context."""
    job = finished(rx_exec(square, x=3, compute_context=remote()))
    assert rx_get_job_results(job, auto_cleanup=False) == [9]
    assert rx_get_job_results(job, None, True) == [9]
    assert rx_get_job_status(job) == "undetermined"


@pytest.mark.parametrize(("auto_cleanup", "status"), [(True, "undetermined"), (False, "finished")])
def test_a_waiting_call_follows_auto_cleanup(shared_path, auto_cleanup, status):
    """After a waiting call a job is purged, or kept, as its context says."""
    where = RxInSqlServer(
        f"sqlite:///{shared_path}", auto_cleanup=auto_cleanup, job_id=f"waiting-{auto_cleanup}"
    )
    assert rx_exec(square, x=2, compute_context=where) == [4]
    assert rx_get_job_status(RxRemoteJob(where, where.job_id)) == status


def test_failed_runs_of_a_non_waiting_job(remote):
    """Exceptions stand at their indexes, and a warning counts them when the results are taken."""

    def odd(x):
        if x % 2:
            raise ValueError(f"odd {x}")
        return x

    job = finished(rx_exec(odd, x=[0, 1, 2, 3], compute_context=remote()))
    with pytest.warns(FailedRunsWarning, match=f"Job {job.job_id}: 2 of 4 runs failed") as caught:
        results = rx_get_job_results(job)
    assert results[::2] == [0, 2]
    assert [str(error) for error in results[1::2]] == ["odd 1", "odd 3"]
    assert "in odd" in str(results[3].__cause__)
    assert caught[0].filename == __file__


def test_the_callback_waits_for_the_results(remote):
    """In a non-waiting context the callback is called when the results are taken."""
    seen = []
    job = finished(rx_exec(square, x=[2, 3], callback=seen.append, compute_context=remote()))
    assert seen == []
    rx_get_job_results(job)
    assert seen == [4, 9]


def test_a_failed_job_names_its_reason(shared_path):
    """A job that could not run at all raises at the waiting call, with the reason."""
    where = RxInSqlServer(f"sqlite:///{shared_path}", packages_to_load=["no_such_module_anywhere"])
    with pytest.raises(JobFailedError, match="no_such_module_anywhere.*pip install"):
        rx_exec(square, x=2, compute_context=where)


def test_a_limit_is_not_blamed_on_an_earlier_failure(shared_path):
    """A job that hit its time limit says so, without the traceback of a run that failed before."""

    def first_fails_then_forever(x):
        if x == 0:
            raise ValueError("a small thing")
        while True:
            time.sleep(0.01)

    where = RxInSqlServer(f"sqlite:///{shared_path}", execution_timeout_seconds=1)
    with pytest.raises(JobFailedError, match="execution_timeout_seconds of 1 s") as caught:
        rx_exec(first_fails_then_forever, x=[0, 1], compute_context=where)
    assert "a small thing" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- handles


def test_a_job_is_found_by_its_id_from_another_process(remote, shared_path):
    """Another process reads status, output and results by the id alone, in the store its environment names."""
    job = finished(rx_exec(square, x=6, compute_context=remote(num_tasks=3, packages_to_load=["json"])))
    code = (
        "import sys, rxsql\n"
        "job = rxsql.RxRemoteJob.deserialize_job(sys.argv[1])\n"
        "print(job.compute_context.num_tasks, job.compute_context.packages_to_load, job.compute_context.wait)\n"
        "print(rxsql.rx_get_job_status(sys.argv[1]), rxsql.rx_get_job_output(job), rxsql.rx_get_job_results(job))\n"
        "print(rxsql.rx_get_job_status(job))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, job.job_id],
        env={**os.environ, "RXSQL_STORE": str(shared_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("3 ('json',) False\nfinished squaring 6\n [36]\nundetermined\n", "")


def test_a_result_is_of_the_users_class_in_another_process(remote, shared_path, tmp_path, monkeypatch):
    """A class of the user's own module is that class again where the module is imported, also in another process."""
    (tmp_path / "shapes.py").write_text(
        "class Dot:\n    class Mark:\n        pass\ndef draw():\n    return [Dot(), Dot.Mark()]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import shapes

    job = finished(rx_exec(shapes.draw, compute_context=remote()))
    del sys.modules["shapes"]
    code = (
        "import sys, rxsql, shapes\n"
        "(dot, mark), = rxsql.rx_get_job_results(sys.argv[1])\n"
        "print(type(dot) is shapes.Dot, type(mark) is shapes.Dot.Mark)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, job.job_id],
        env={**os.environ, "RXSQL_STORE": str(shared_path), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True True\n", "")


def test_deserialize_looks_into_the_current_context(context):
    """`deserialize_job` and `deserialize_jobs` look into the current context's store, the newest first."""
    where = context(wait=False, num_tasks=2, execution_timeout_seconds=50)
    first, second = (finished(rx_exec(square, x=x, compute_context=where)) for x in (1, 2))
    rx_set_compute_context(where)
    assert RxRemoteJob.deserialize_job(first.job_id) == first
    assert RxRemoteJob.deserialize_job(first.job_id).compute_context == where
    assert RxRemoteJob.deserialize_jobs() == [second, first]
    second.close()
    assert RxRemoteJob.deserialize_jobs() == [first]
    with pytest.raises(JobNotFoundError, match="no job 'never'"):
        RxRemoteJob.deserialize_job("never")


def test_close_ends_and_purges(remote, tmp_path):
    """`close` ends a job that runs and removes what it stored; its context is still there until the row is gone."""
    job = rx_exec(hold, folder=str(tmp_path), compute_context=remote())
    wait_until((tmp_path / "started").exists)
    child = psutil.Process(int((tmp_path / "started").read_text()))
    job.close()
    wait_until(lambda: not child.is_running())
    assert rx_get_job_status(job) is RxRemoteJobStatus.UNDETERMINED
    assert job.resolve_context() is job.compute_context
    with pytest.raises(JobNotFoundError):
        RxRemoteJob(remote(), "never").close()


def test_resolve_context(remote):
    """A job that its store does not know has no context to resolve."""
    where = remote()
    job = finished(rx_exec(square, x=2, compute_context=where))
    assert job.resolve_context() is where
    assert RxRemoteJob(where, "never").resolve_context() is None


def test_job_info(remote):
    """`rx_get_job_info` gives the job while its store has it, else None."""
    job = finished(rx_exec(square, x=2, compute_context=remote()))
    assert rx_get_job_info(job) == job
    assert rx_get_job_info(job).compute_context is job.compute_context
    rx_get_job_results(job)
    assert rx_get_job_info(job) is None
    assert rx_get_job_info(RxRemoteJob(remote(), "never")) is None


def test_a_call_that_is_interrupted_as_its_job_is_stored(remote, monkeypatch):
    """The job is the last pending one; one that could not be stored is none."""
    store_job = submitting.add_job

    def interrupted(*arguments, **options):
        store_job(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(submitting, "add_job", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rx_exec(square, x=3, compute_context=remote())
    monkeypatch.undo()
    interrupted_job = rxg_last_pending_job.job_id
    with pytest.raises(JobExistsError):
        rx_exec(square, x=3, compute_context=remote(job_id=interrupted_job))
    assert rxg_last_pending_job.job_id == interrupted_job
    rx_wait_for_job(rxg_last_pending_job)
    assert rx_get_job_results(rxg_last_pending_job) == [9]


def test_the_last_pending_job(remote):
    """`rxg_last_pending_job` is the job submitted last whose results were not taken."""
    first, second = (rx_exec(square, x=x, compute_context=remote()) for x in (4, 5))
    assert isinstance(rxg_last_pending_job, RxRemoteJob)
    assert rxg_last_pending_job == second
    assert rxg_last_pending_job.job_id == second.job_id
    assert rxg_last_pending_job.compute_context is second.compute_context
    rx_wait_for_job(rxg_last_pending_job)
    assert rx_get_job_results(rxg_last_pending_job) == [25]
    assert rxg_last_pending_job == first
    rxg_last_pending_job.close()
    assert rx_get_job_status(first) == "undetermined"


def test_no_pending_job(tmp_path):
    """Without a pending job the object says so."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import rxsql\nprint(rxsql.rxg_last_pending_job)\nrxsql.rx_get_job_status(rxsql.rxg_last_pending_job)",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "rxg_last_pending_job(none)\n"
    assert "There is no pending job" in done.stderr
    assert issubclass(RxSqlError, Exception)


# ------------------------------------------------------------------------------------------------- lists


def test_listing_jobs(context, capsys):
    """`rx_get_jobs` gives the jobs that were not purged, the newest first, and prints a line for each."""
    where = context(wait=False)
    good = finished(rx_exec(square, x=2, compute_context=where))
    bad = finished(rx_exec(fail, compute_context=where))
    gone = finished(rx_exec(square, x=3, compute_context=where))
    rx_get_job_results(gone)
    assert rx_get_jobs(where) == [bad, good]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["failed", "finished"]
    assert [line.split()[-1] for line in lines] == [bad.job_id, good.job_id]
    datetime.strptime(" ".join(lines[0].split()[1:3]), "%Y-%m-%d %H:%M:%S")
    assert rx_get_jobs(where, verbose=False) == [bad, good]
    assert capsys.readouterr().out == ""


def test_listing_jobs_by_state(context):
    """`states` takes words and enum members; "none" is a state that no job has; None means all."""
    where = context(wait=False)
    good = finished(rx_exec(square, x=2, compute_context=where))
    bad = finished(rx_exec(fail, compute_context=where))
    gone = finished(rx_exec(square, x=3, compute_context=where))
    rx_get_job_results(gone)

    def listed(states: object) -> list[RxRemoteJob]:
        return rx_get_jobs(where, states=states, verbose=False)

    assert listed(["finished"]) == [good]
    assert listed([RxRemoteJobStatus.FAILED]) == [bad]
    assert listed(["FINISHED", "failed"]) == [bad, good]
    assert listed("failed") == [bad]
    assert listed(["undetermined"]) == [gone]
    assert listed(["queued", "running", "canceled"]) == []
    assert listed(["none"]) == []
    assert listed([]) == []
    assert listed(None) == [bad, good]


def test_listing_jobs_by_time(context):
    """Bounds are inclusive; a time without zone is local time, one with a zone is that instant."""
    where = context(wait=False)
    first, second = (finished(rx_exec(square, x=x, compute_context=where)) for x in (1, 2))
    (path,) = [where.connection_string.removeprefix("sqlite:///")]
    connection = sqlite3.connect(path)
    created = dict(connection.execute("SELECT job_id, created_at FROM jobs").fetchall())
    connection.close()
    aware = [datetime.fromisoformat(created[job.job_id]).replace(tzinfo=UTC) for job in (first, second)]
    naive = [moment.astimezone().replace(tzinfo=None) for moment in aware]

    def listed(start: datetime | None = None, end: datetime | None = None) -> list[RxRemoteJob]:
        return rx_get_jobs(where, start_time=start, end_time=end, verbose=False)

    tick = timedelta(milliseconds=1)
    for times in (aware, naive):
        assert listed(start=times[0]) == [second, first]
        assert listed(start=times[0] + tick) == [second]
        assert listed(end=times[1]) == [second, first]
        assert listed(end=times[1] - tick) == [first]
        assert listed(*times) == [second, first]
        assert listed(start=times[1] + tick) == []


def test_naive_times_are_local(context, tmp_path):
    """In a zone far from UTC a time without zone is read as that zone's."""
    job = finished(rx_exec(square, x=1, compute_context=context(wait=False)))
    code = (
        "import sys, rxsql, datetime as d\n"
        "hour = d.timedelta(hours=1)\n"
        "now = d.datetime.now()\n"
        "where = rxsql.RxInSqlServer(sys.argv[1])\n"
        "print([len(rxsql.rx_get_jobs(where, start_time=t, verbose=False)) for t in (now - hour, now + hour)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, job.compute_context.connection_string],
        env={**os.environ, "TZ": "Pacific/Kiritimati"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("[1, 0]\n", "")


def test_listing_jobs_of_the_very_same_context(context):
    """`exact_match` compares all options, otherwise the store is enough."""
    one, other = context(wait=False, num_tasks=1), context(wait=False, num_tasks=2)
    first = finished(rx_exec(square, x=1, compute_context=one))
    second = finished(rx_exec(square, x=2, compute_context=other))
    assert rx_get_jobs(one, exact_match=True, verbose=False) == [first]
    assert rx_get_jobs(other, True, verbose=False) == [second]
    assert rx_get_jobs(context(), verbose=False) == [second, first]


# ------------------------------------------------------------------------------------------------- canceling


def test_cancel_ends_the_code(remote, tmp_path):
    """A canceled job's code ends, its status stays canceled, its results and output are gone."""
    job = rx_exec(hold, folder=str(tmp_path), compute_context=remote())
    wait_until((tmp_path / "started").exists)
    child = psutil.Process(int((tmp_path / "started").read_text()))
    assert rx_cancel_job(job) is True
    assert rx_get_job_status(job) is RxRemoteJobStatus.CANCELED
    wait_until(lambda: not child.is_running())
    assert rx_get_job_status(job) == "canceled"
    assert job in rx_get_jobs(job.compute_context, states=["canceled"], verbose=False)
    with pytest.warns(PurgedJobWarning, match="canceled"):
        assert rx_get_job_output(job) == ""
    assert rx_cancel_job(job) is False


@pytest.mark.parametrize(
    ("context_says", "call_says", "shown"),
    [(False, True, True), (True, None, True), (True, False, False), (False, None, False)],
)
def test_cancel_shows_what_there_is(remote, tmp_path, capsys, context_says, call_says, shown):
    """`console_output` of `rx_cancel_job` decides whether the output so far is printed; None asks the context."""
    job = rx_exec(hold, folder=str(tmp_path), compute_context=remote(console_output=context_says))
    wait_until(lambda: rx_get_job_output(job) == "holding\n")
    assert rx_cancel_job(job, console_output=call_says)
    assert capsys.readouterr().out == ("holding\n" if shown else "")


def test_a_finished_job_cannot_be_canceled(remote):
    """Only queued and running jobs can be canceled; a finished one keeps its results."""
    job = finished(rx_exec(square, x=2, compute_context=remote()))
    assert rx_cancel_job(job) is False
    assert rx_get_job_results(job) == [4]


def test_a_waiting_call_learns_that_it_was_canceled(shared_path, tmp_path):
    """When somebody else cancels the job, the waiting call raises."""
    code = (
        "import sys, time, os, rxsql\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "where = rxsql.RxInSqlServer(sys.argv[1])\n"
        "deadline = time.monotonic() + 60\n"
        "while not os.path.exists(sys.argv[2]) and time.monotonic() < deadline: time.sleep(0.01)\n"
        "(job,) = rxsql.rx_get_jobs(where, states=['running'], verbose=False)\n"
        "print(rxsql.rx_cancel_job(job))\n"
    )
    arguments = [f"sqlite:///{shared_path}", str(tmp_path / "started"), str(Path(__file__).parent)]
    other = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
    with pytest.raises(JobCanceledError, match="was canceled"):
        rx_exec(hold, folder=str(tmp_path), compute_context=RxInSqlServer(f"sqlite:///{shared_path}"))
    assert other.communicate(timeout=60)[0] == "True\n"


# ------------------------------------------------------------------------------------------------- cleaning up


def test_cleanup_protects_uncollected_results(remote, capsys):
    """A finished job is kept under a warning that names both ways out; `force` removes it."""
    job = finished(rx_exec(square, x=2, compute_context=remote()))
    with pytest.warns(UncollectedResultsWarning, match="rx_get_job_results, or use force=True") as caught:
        assert rx_cleanup_jobs(job) is None
    assert caught[0].filename == __file__
    assert rx_get_job_results(job, auto_cleanup=False) == [4]
    assert capsys.readouterr().out == ""
    rx_cleanup_jobs(job, True)
    assert rx_get_job_status(job) == "undetermined"
    assert (
        capsys.readouterr().out == f"Job {job.job_id}: removed 1 task rows, 1 results and 1 console chunks.\n"
    )


def test_failed_and_canceled_jobs_need_no_force(remote, tmp_path, capsys):
    """Failed and canceled jobs have no results to protect; afterwards they are undetermined."""
    failed = finished(rx_exec(fail, compute_context=remote()))
    canceled = rx_exec(hold, folder=str(tmp_path), compute_context=remote())
    rx_cancel_job(canceled)
    rx_cleanup_jobs([failed, canceled], verbose=False)
    assert capsys.readouterr().out == ""
    assert [rx_get_job_status(job) for job in (failed, canceled)] == ["undetermined", "undetermined"]
    assert not {failed, canceled} & set(rx_get_jobs(remote(), verbose=False))


def test_cleanup_of_a_list_applies_the_rule_to_each(remote, tmp_path):
    """In a list finished and running jobs are kept, each under its warning, and the others removed."""
    good = finished(rx_exec(square, x=2, compute_context=remote()))
    bad = finished(rx_exec(fail, compute_context=remote()))
    running = rx_exec(hold, folder=str(tmp_path), compute_context=remote())
    wait_until((tmp_path / "started").exists)
    with pytest.warns(UncollectedResultsWarning) as caught:
        rx_cleanup_jobs([good, bad, running], verbose=False)
    assert [
        job.job_id for job in (good, running) for warning in caught if job.job_id in str(warning.message)
    ] == [
        good.job_id,
        running.job_id,
    ]
    assert "is running" in str(caught[1].message)
    assert [rx_get_job_status(job) for job in (good, bad, running)] == ["finished", "undetermined", "running"]
    rx_cleanup_jobs([good, bad, running], force=True, verbose=False)
    assert rx_get_job_status(good) == "undetermined"


def test_forced_cleanup_ends_a_running_job(remote, tmp_path):
    """`force` ends the code of a job that runs, and removes the job."""
    job = rx_exec(hold, folder=str(tmp_path), compute_context=remote())
    wait_until((tmp_path / "started").exists)
    child = psutil.Process(int((tmp_path / "started").read_text()))
    rx_cleanup_jobs(job, force=True, verbose=False)
    wait_until(lambda: not child.is_running())
    assert rx_get_job_status(job) == "undetermined"


def test_cleanup_of_the_list_of_a_context(context):
    """R's idiom `rx_cleanup_jobs(rx_get_jobs(...), force=True)` leaves nothing of the jobs in the store."""
    where = context(wait=False)
    for x in (1, 2):
        finished(rx_exec(square, x=x, compute_context=where))
    rx_cleanup_jobs(rx_get_jobs(where, verbose=False), force=True, verbose=False)
    assert rx_get_jobs(where, verbose=False) == []
    connection = sqlite3.connect(where.connection_string.removeprefix("sqlite:///"))
    counts = [
        connection.execute(f"SELECT count(*) FROM {name}").fetchone()
        for name in ("results", "console", "tasks", "functions")
    ]
    connection.close()
    assert counts == [(0,)] * 4


# ------------------------------------------------------------------------------------------------- unknown jobs


@pytest.mark.parametrize(
    "function", [rx_get_job_results, rx_get_job_output, rx_wait_for_job, rx_cancel_job, rx_cleanup_jobs]
)
def test_an_unknown_id_is_an_error(remote, function):
    """Every function but the status and the information says that there is no such job, and how to list what is there."""
    with pytest.raises(JobNotFoundError, match="no job 'never'.*rxsql jobs") as caught:
        function(RxRemoteJob(remote(), "never"))
    assert isinstance(caught.value, LookupError)


def test_cleanup_removes_nothing_when_one_is_unknown(remote):
    """A list with an unknown job is refused before anything is removed."""
    failed = finished(rx_exec(fail, compute_context=remote()))
    with pytest.raises(JobNotFoundError):
        rx_cleanup_jobs([failed, RxRemoteJob(remote(), "never")], verbose=False)
    assert rx_get_job_status(failed) == "failed"


@pytest.mark.parametrize("function", [rx_get_job_status, rx_get_job_results, rx_wait_for_job, rx_cancel_job])
def test_what_is_no_job_is_refused(function):
    """A list of results, or None, in place of a job is an error that says what a job is."""
    with pytest.raises(ValueError, match="what rx_exec returns in a context with wait=False"):
        function([4])


def test_local_contexts_have_no_jobs():
    """Jobs are listed for remote contexts only."""
    with pytest.raises(NotSupportedError, match="A RxLocalSeq has no jobs"):
        rx_get_jobs("RxLocalSeq")
