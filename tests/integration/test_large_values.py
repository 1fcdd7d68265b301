"""Large values of an SQLite store: in files beside it, which come and go with their jobs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import wait_until
from support import claim, ended, new_job, register, rows_of, scalar, submit, suspend

from rxsql import (
    RxInSqlServer,
    rx_cancel_job,
    rx_cleanup_jobs,
    rx_exec,
    rx_get_job_results,
    rx_wait_for_job,
)
from rxsql.errors import FailedRunsWarning, JobExistsError, StoreError
from rxsql.models import NewTask
from rxsql.reports import Outcome, Report
from rxsql.store import install, jobs, large, outputs, tasks
from rxsql.store.engine import Store, connect
from rxsql.store.submission import add_job

LARGE = os.urandom(large.LEAST_BYTES)
HOURS = 7200.0


@pytest.fixture
def store(store_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = connect(str(store_path))
    install.install(opened)
    yield opened
    opened.close()


@pytest.fixture
def folder(store_path: Path) -> Path:
    """Where this test's store keeps its large values."""
    return Path(f"{store_path}-values")


def files(folder: Path) -> list[str]:
    """Return the files in a folder and in those below, as `job/file`."""
    return [f"{path.parent.name}/{path.name}" for path in folder.rglob("*") if path.is_file()]


def double(x: Any, y: Any = b"") -> Any:
    return x + x + y


def large_job(job_id: str = "j", count: int = 2, **options: Any) -> Any:
    """Return a job to insert with large inputs."""
    inputs = [NewTask(first_run=run, run_count=1, input=LARGE) for run in range(count)]
    return replace(new_job(job_id, **options), tasks=inputs, run_count=count)


def finish(store: Store, job_key: int, value: Any = LARGE) -> None:
    """Run a job as a worker does; each result is `value`."""
    worker = register(store, f"w{job_key}")
    for task in claim(store, worker, job_key):
        report = ended(task)
        outcomes = [replace(entry, outcome=Outcome(entry.outcome.run, value)) for entry in report.outcomes]
        tasks.report(store, worker, replace(report, outcomes=outcomes))


# ------------------------------------------------------------------------------------------------- there and back


def test_large_values_go_and_come_back(context, store_path, folder):
    """Inputs, the input that all runs share, and results: whole, in files while the job is there, and gone with it."""
    inputs = [os.urandom(3_000_000), b"small", bytearray(LARGE), os.urandom(1_500_000)]
    where = context(wait=False, auto_cleanup=False, num_tasks=2)
    job = rx_exec(double, x=inputs, y=LARGE, compute_context=where)
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == [x + x + LARGE for x in inputs]
    store = connect(str(store_path))
    kinds = rows_of(store, "SELECT task, typeof(body) FROM inputs ORDER BY task")
    assert kinds == [(-1, "text"), (0, "text"), (2, "text"), (3, "text")]
    assert rows_of(store, "SELECT DISTINCT typeof(body) FROM results") == [("text",)]
    store.close()
    assert {name.split("/")[0] for name in files(folder)} == {job.job_id}
    assert store_path.stat().st_size < len(LARGE)
    rx_cleanup_jobs(job, force=True, verbose=False)
    assert list(folder.iterdir()) == []


def test_a_store_of_two_names(store, store_path, folder, tmp_path):
    """Who knows the file by a symbolic link finds its values, and is woken by its log."""
    key = large_key(store)
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(store_path)
    other = connect(str(link))
    assert len(tasks.task_inputs(other, key, [0, 1])) == 2
    wakeup = other.wakeup()
    assert wakeup.fileno() is not None
    wakeup.close()
    large_key(other, "through-the-link")
    assert {name.split("/")[0] for name in files(folder)} == {"j", "through-the-link"}
    assert list(link.parent.iterdir()) == [link]
    other.close()


def test_an_array_goes_and_comes_back(context):
    """What pickles as a buffer, and could be changed by its owner while it is sent."""
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(400_000, dtype="float64")
    (result,) = rx_exec(double, x=array, y=array, compute_context=context())
    assert (result == 3 * array).all()


def test_small_values_make_no_folder(context, folder):
    """What is below a megabyte stands in the rows, as ever."""
    (result,) = rx_exec(double, x=os.urandom(300_000), compute_context=context())
    assert len(result) == 600_000
    assert not folder.exists()


def test_an_exception_may_be_large(context, folder):
    """What a run raised is a result, too."""

    def fail(size):
        import random

        if not size:
            return random.randbytes(10)
        error = ValueError("too much")
        error.data = random.randbytes(size)
        raise error

    where = context(wait=False, auto_cleanup=False)
    job = rx_exec(fail, size=[1_500_000, 0], compute_context=where)
    rx_wait_for_job(job)
    assert len(files(folder)) == 1
    with pytest.warns(FailedRunsWarning, match="1 of 2 runs failed"):
        error, _ = rx_get_job_results(job)
    assert len(error.data) == 1_500_000


def test_a_key_signs_large_values(context, folder, monkeypatch):
    """They are signed where they are, and one that somebody changed in its file is refused."""
    monkeypatch.setenv("RXSQL_SIGNING_KEYS", "k:a-key-that-is-long-enough")
    monkeypatch.setenv("RXSQL_REQUIRE_SIGNATURE", "1")
    where = context(wait=False, auto_cleanup=False)
    job = rx_exec(double, x=[LARGE, b"small"], compute_context=where)
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == [LARGE + LARGE, b"smallsmall"]
    newest = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    with newest.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"changed!")
    with pytest.warns(FailedRunsWarning, match="Refused the result of run 0"):
        assert rx_get_job_results(job)[1] == b"smallsmall"


@pytest.mark.parametrize("job_id", ["..", "ünusual", "-rf"])
def test_an_id_that_is_no_name_of_a_folder(store, folder, job_id):
    """Its values stand in the rows."""
    key = large_key(store, job_id)
    assert rows_of(store, "SELECT DISTINCT typeof(body) FROM inputs") == [("blob",)]
    finish(store, key)
    assert [len(outcome.value) for outcome in outputs.fetch_outcomes(store, key, after=-1, limit=9)] == [
        len(LARGE),
        len(LARGE),
    ]
    assert not folder.exists()


def large_key(store: Store, job_id: str = "j") -> int:
    return add_job(store, large_job(job_id), inline_bytes=512)


def test_inputs_that_stand_in_the_tasks_rows(store, folder):
    """Who sets RXSQL_INLINE_BYTES so high gets what it says."""
    add_job(store, large_job(), inline_bytes=2**24)
    assert rows_of(store, "SELECT DISTINCT typeof(input) FROM task_rows") == [("blob",)]
    assert not folder.exists()


# ------------------------------------------------------------------------------------------------------- removal


def test_a_refused_submission_leaves_nothing(store, folder):
    """The id is taken: the first job's values stay, the second one's are gone."""
    key = large_key(store)
    before = files(folder)
    with pytest.raises(JobExistsError):
        large_key(store)
    assert files(folder) == before
    assert len(before) == 1
    assert len(tasks.task_inputs(store, key, [0, 1])) == 2


def test_a_refused_report_goes_with_its_job(store, folder):
    """Results of a worker that does not hold the task any more are in no row, and are removed with the rest."""
    key = large_key(store)
    worker, other = register(store, "w"), register(store, "other")
    (task, *_) = claim(store, worker, key)
    report = ended(task)
    value = replace(report.outcomes[0], outcome=Outcome(0, LARGE))
    assert tasks.report(store, other, replace(report, outcomes=[value])).refused == {task.key}
    assert scalar(store, "SELECT COUNT(*) FROM results") == 0
    jobs.purge(store, "j")
    assert files(folder) == []


@pytest.mark.parametrize("remove", [jobs.cancel, jobs.purge])
def test_cancel_and_purge_remove_files(store, folder, remove: Callable[..., Any]):
    """Of this job, and of no other."""
    large_key(store)
    large_key(store, "other")
    remove(store, "j")
    assert {name.split("/")[0] for name in files(folder)} == {"other"}


def test_cancel_of_a_running_job(context, folder):
    """Its input is gone when its children are."""

    def rest(x):
        import time

        time.sleep(600)

    job = rx_exec(rest, x=LARGE, compute_context=context(wait=False))
    assert files(folder)
    rx_cancel_job(job)
    assert files(folder) == []


def test_retention_removes_files(store, folder):
    """What nobody collected in time goes with its files."""
    finish(store, large_key(store))
    assert len(files(folder)) == 3  # the inputs, and one for each report
    assert jobs.purge_expired(store, retention_seconds=0.0, tombstone_seconds=HOURS) == 1
    assert files(folder) == []


def test_a_submission_killed_half_way(store, store_path, folder, start_worker):
    """Its files are removed when they are old enough to be nobody's; those of a job that is there stay."""
    start_worker()
    large_key(store, "alive")
    script = (
        "import os, rxsql\n"
        "def f(x): pass\n"
        f"where = rxsql.RxInSqlServer({str(store_path)!r}, wait=False, job_id='killed')\n"
        "rxsql.rx_exec(f, x=os.urandom(3_000_000), compute_context=where)\n"
    )
    with store.write():  # so that it has written its files, and waits to write its rows
        client = subprocess.Popen([sys.executable, "-c", script])
        wait_until(lambda: any(name.startswith("killed/") for name in files(folder)))
        client.send_signal(signal.SIGKILL)
        client.wait()
    large.drop_strays(store)
    assert {name.split("/")[0] for name in files(folder)} == {"alive", "killed"}
    long_ago = time.time() - HOURS
    for path in folder.iterdir():
        os.utime(path, (long_ago, long_ago))
    large.drop_strays(store)
    assert {name.split("/")[0] for name in files(folder)} == {"alive"}


def test_a_removal_killed_half_way(store, folder):
    """The rows are gone, the files are not yet: they are nobody's."""
    large_key(store)
    kept = folder.with_name("kept")
    shutil.copytree(folder / "j", kept)
    jobs.purge(store, "j")
    shutil.move(kept, folder / "j")
    long_ago = time.time() - HOURS
    os.utime(folder / "j", (long_ago, long_ago))
    jobs.purge_expired(store, retention_seconds=HOURS, tombstone_seconds=HOURS)
    assert files(folder) == []


def test_a_child_that_dies_leaves_no_result(context, folder):
    """Its input is read again by the next attempt, and all is gone with the job."""

    def die_once(x, mark):
        import os
        import signal

        if not os.path.exists(mark):
            os.mkdir(mark)
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    assert rx_exec(die_once, x=LARGE, mark=str(folder) + "-mark", compute_context=context()) == [LARGE]
    assert files(folder) == []


# ------------------------------------------------------------------------------------------------------- trouble


def test_files_that_are_gone(store, store_path, folder, context):
    """A copy of the store without its files: each value that is missing is one clear error."""
    job = rx_exec(double, x=[LARGE, b"small"], compute_context=context(wait=False, auto_cleanup=False))
    rx_wait_for_job(job)
    shutil.rmtree(folder)
    with pytest.warns(FailedRunsWarning, match=f"The result of run 0 is not in {folder}"):
        first, second = rx_get_job_results(job)
    assert "who moves or copies the store must take that folder along" in str(first)
    assert second == b"smallsmall"


def test_inputs_that_are_gone_or_cut_off(store, store_path, folder, context, start_worker):
    """The run fails and says so; the worker goes on."""
    worker = start_worker()
    suspend(worker, store_path)
    cut = rx_exec(double, x=[LARGE, b"small"], compute_context=context(wait=False))
    shared = rx_exec(double, x=[1, 2], y=LARGE, compute_context=context(wait=False))
    (path,) = (folder / cut.job_id).iterdir()
    os.truncate(path, 1000)
    shutil.rmtree(folder / shared.job_id)
    worker.send_signal(signal.SIGCONT)
    assert rx_exec(double, x=1, y=1, compute_context=context()) == [3]
    rx_wait_for_job(cut)
    with pytest.warns(FailedRunsWarning, match="The input of task 0 is not in the store any more"):
        assert rx_get_job_results(cut)[1] == b"smallsmall"
    rx_wait_for_job(shared)
    assert f"The shared input is not in {folder}" in str(rx_get_job_results(shared))


@pytest.mark.parametrize("place", ["../outside/" + "0" * 32 + "/0/10", "j/" + "0" * 32 + "/0/10", "j/x", ""])
def test_a_place_that_somebody_wrote(store, folder, place):
    """Nothing outside the folder is read, whatever stands in a row."""
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / ("0" * 32)).write_bytes(b"0123456789")
    key = submit(store, tasks=1)
    finish(store, key, b"result")
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE results SET body = ?", (place,))
    (outcome,) = outputs.fetch_outcomes(store, key, after=-1, limit=9)
    assert outcome.value is None
    assert "The result of run 0" in str(outcome.error)


def test_a_file_that_cannot_be_read(store, folder):
    """An error that names it: it is there, so the run is not to blame."""
    key = large_key(store)
    shutil.rmtree(folder / "j")
    (folder / "j").write_bytes(b"no folder")
    with pytest.raises(StoreError, match=f"The large value {folder}/j/.* cannot be read: Not a directory"):
        tasks.task_inputs(store, key, [0])


def test_an_empty_place(store, folder):
    """No value is empty there, so such a row was written by somebody."""
    key = large_key(store)
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE inputs SET body = substr(body, 1, 2 + 32) || '/0/0'")
    assert tasks.task_inputs(store, key, [0]) == {}


def test_a_folder_that_cannot_be_made(store, folder):
    """Something else has its name: an error that names it, and no job."""
    folder.touch()
    with pytest.raises(StoreError, match=f"cannot be written into the folder {folder}: Not a directory"):
        large_key(store)
    assert jobs.list_jobs(store) == []


def test_a_value_that_does_not_fit(store, store_path, folder):
    """The system stops a file in its midst: nothing is left of it, and no job is stored."""
    script = (
        "import resource\n"
        "from test_large_values import large_key\n"
        "from rxsql.store.engine import connect\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(LARGE) + 1000}, resource.RLIM_INFINITY))\n"
        f"large_key(connect({str(store_path)!r}))\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": paths}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert "cannot be written into the folder" in ended.stderr
    assert "File too large" in ended.stderr
    assert files(folder) == []
    assert jobs.list_jobs(store) == []


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o644])
def test_who_may_read_the_store_may_read_its_values(store, store_path, folder, mode):
    """Folder and files have the permissions of the store's file."""
    store_path.chmod(mode)
    large_key(store)
    (job,) = folder.iterdir()
    (file,) = job.iterdir()
    assert file.stat().st_mode & 0o777 == mode
    of_folder = mode | (mode & 0o444) >> 2
    assert [path.stat().st_mode & 0o777 for path in (folder, job)] == [of_folder, of_folder]


def test_no_file_stays_open(store, folder):
    """Neither of inputs nor of results, once they were used."""
    key = large_key(store)
    assert len(tasks.task_inputs(store, key, [0, 1])) == 2
    finish(store, key)
    values = [bytes(outcome.value) for outcome in outputs.fetch_outcomes(store, key, after=-1, limit=9)]
    assert values == [LARGE, LARGE]
    assert [file for file in psutil.Process().open_files() if file.path.startswith(str(folder))] == []
