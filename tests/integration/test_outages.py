"""A PostgreSQL server that goes away: commits whose answer is lost, and restarts in the middle of a job."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import wait_until
from lossyproxy import LossyProxy
from support import claim, ended, lock_waits, register, scalar, submit
from turns import taking_turns

from rxsql import (
    RxInSqlServer,
    RxRemoteJob,
    rx_cancel_job,
    rx_cleanup_jobs,
    rx_exec,
    rx_get_job_info,
    rx_get_job_output,
    rx_get_job_results,
    rx_get_job_status,
    rx_get_jobs,
    rx_wait_for_job,
)
from rxsql.client import watch
from rxsql.errors import NoWorkerWarning, StoreError
from rxsql.store import install, jobs, tasks
from rxsql.store.engine import Store, connect, open_store


@pytest.fixture
def server_url(postgresql_url: str) -> str:
    """A database with the schema."""
    store = connect(postgresql_url)
    install.install(store)
    store.close()
    return postgresql_url


@pytest.fixture
def lossy(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], LossyProxy]]:
    """Make the way to this test's database lossy: the answer to one commit does not arrive."""
    made: list[LossyProxy] = []

    def make(marker: str, *, cut: bool = False) -> LossyProxy:
        made.append(LossyProxy(server_url, tmp_path_factory.mktemp("p") / "s", marker, cut=cut))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


def count(log: str, number: int) -> int:
    """Leave a number in a log."""
    import os

    line = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(line, b"%d\n" % number)
    os.close(line)
    return number


@pytest.mark.parametrize(
    "marker",
    [
        "SET\n    status = 'running',\n    attempt",
        "failed_runs = ended.failed_runs",
        "INSERT INTO rx.workers",
    ],
    ids=["claim", "report", "registration"],
)
def test_worker_whose_answer_was_lost(server_url, lossy, start_worker_on, tmp_path, marker):
    """A worker that cannot know whether its claim or report was committed loses no task, and runs none twice."""
    proxy = lossy(marker)
    numbers = list(range(40))
    log = tmp_path / "runs.log"
    with pytest.warns(NoWorkerWarning):
        job = rx_exec(
            count, log=str(log), number=numbers, compute_context=RxInSqlServer(server_url, wait=False)
        )
    if "workers" in marker:
        with suppress(AssertionError):  # it may say why it cannot start, and end
            start_worker_on(proxy.url, slots=1)
        start_worker_on(server_url, slots=1)
    else:
        start_worker_on(proxy.url, slots=1)
    rx_wait_for_job(job)
    assert proxy.lost.is_set()
    assert rx_get_job_results(job) == numbers
    assert sorted(int(line) for line in log.read_text().splitlines()) == numbers


@pytest.mark.parametrize("own_id", [True, False])
def test_submission_whose_answer_was_lost(server_url, lossy, start_worker_on, own_id):
    """A client that cannot know whether its job was stored submits it once, and gets its results."""
    start_worker_on(server_url, slots=1)
    proxy = lossy("INSERT INTO rx.jobs")
    chosen = {"job_id": "mine"} if own_id else {}
    assert rx_exec(lambda: 42, compute_context=RxInSqlServer(proxy.url, **chosen)) == [42]
    assert proxy.lost.is_set()
    assert scalar(open_store(server_url), "SELECT COUNT(*) FROM rx.jobs") == 1


def test_lines_whose_answer_was_lost(server_url, lossy, start_worker_on, tmp_path):
    """Console lines of a run that goes on are written once, though the worker sends them again."""
    proxy = lossy("INSERT INTO rx.console_chunks")
    gate = tmp_path / "gate"

    def talk(path):
        import pathlib
        import time

        for number in range(100):
            print("line", number)
        while not pathlib.Path(path).exists():
            time.sleep(0.01)
        print("the last")

    where = RxInSqlServer(server_url, wait=False, auto_cleanup=False)
    with pytest.warns(NoWorkerWarning):
        job = rx_exec(talk, path=str(gate), compute_context=where)
    start_worker_on(proxy.url, slots=1)
    wait_until(lambda: "line 99" in rx_get_job_output(job))
    wait_until(proxy.lost.is_set)
    gate.touch()
    rx_wait_for_job(job)
    assert rx_get_job_output(job).splitlines() == [*(f"line {number}" for number in range(100)), "the last"]


def test_cancel_whose_answer_was_lost(server_url, lossy):
    """Who cancels and cannot know whether that was committed is told that the job was canceled, as it is."""
    with pytest.warns(NoWorkerWarning):
        job = rx_exec(lambda: 1, compute_context=RxInSqlServer(server_url, wait=False))
    proxy = lossy("done_runs = (")
    assert rx_cancel_job(RxRemoteJob(RxInSqlServer(proxy.url), job.job_id)) is True
    assert proxy.lost.is_set()
    assert rx_get_job_status(job) == "canceled"


# ------------------------------------------------------------------------------------------------- conflicts


CALLS = {
    "submit": (
        "INSERT INTO rx.jobs",
        lambda job: len(rx_exec(lambda: 1, compute_context=job.compute_context).job_id) > 0,
    ),
    "status": ("SELECT rx.jobs.status", lambda job: rx_get_job_status(job) == "finished"),
    "wait": ("SELECT rx.jobs.status", lambda job: rx_wait_for_job(job) is None),
    "output": ("FROM rx.console_chunks", lambda job: rx_get_job_output(job) == "said\n"),
    "results": ("FROM rx.results", lambda job: rx_get_job_results(job) == [5]),
    "results taken": (
        "DELETE FROM rx.results",
        lambda job: rx_get_job_results(job, auto_cleanup=True) == [5],
    ),
    "list": ("rx.job_progress", lambda job: len(rx_get_jobs(job.compute_context, verbose=False)) == 1),
    "info": ("rx.job_progress", lambda job: rx_get_job_info(job) is not None),
    "cancel": ("FROM rx.jobs", lambda job: rx_cancel_job(job) is False),
    "cleanup": (
        "DELETE FROM rx.results",
        lambda job: rx_cleanup_jobs(job, force=True, verbose=False) is None,
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_server_that_goes_away_in_the_middle_of_a_call(server_url, lossy, start_worker_on, call, caplog):
    """A connection cut at a statement of any call is made anew, with a line in the log, and the call does its work."""

    def say():
        print("said")
        return 5

    start_worker_on(server_url, slots=1)
    job = rx_exec(say, compute_context=RxInSqlServer(server_url, wait=False, auto_cleanup=False))
    rx_wait_for_job(job)
    marker, works = CALLS[call]
    proxy = lossy(marker, cut=True)
    there = RxRemoteJob(RxInSqlServer(proxy.url, wait=False, auto_cleanup=False), job.job_id)
    assert works(there)
    assert proxy.lost.is_set()
    assert "store.retry" in caplog.text


def test_deadlock_is_tried_again(server_url, caplog):
    """A report that the server ends for another transaction's sake is written by a second try at once."""
    store = connect(server_url)
    worker = register(store, "w")
    job_key = submit(store, tasks=1)
    (task,) = claim(store, worker, job_key)
    written: list[Any] = []
    reporter = threading.Thread(target=lambda: written.append(tasks.report(store, worker, ended(task))))
    with store.write() as other:
        other.exec_driver_sql("SET LOCAL deadlock_timeout = '60s'")  # so that the report is the one to go
        other.exec_driver_sql("UPDATE rx.task_rows SET seconds = 0")
        reporter.start()
        wait_until(lambda: lock_waits(store))
        other.exec_driver_sql("UPDATE rx.jobs SET name = 'other'")
    reporter.join()
    assert written[0].ended_jobs == {job_key}
    assert "store.retry operation=report" in caplog.text
    store.close()


# ------------------------------------------------------------------------------------------------- restarts


def test_server_restart(server_url, postgresql_cluster, start_worker_on, tmp_path):
    """The server is stopped and started while a job runs: the wait and the workers survive, no task runs twice."""
    workers = [start_worker_on(server_url, slots=1, lease_seconds=1) for _ in range(2)]
    log, gate = tmp_path / "runs.log", tmp_path / "gate"

    def one(log, gate, number):
        import pathlib
        import time

        count(log, number)
        while number >= 10 and not pathlib.Path(gate).exists():
            time.sleep(0.01)
        return number

    results: list[Any] = []
    where = RxInSqlServer(server_url, num_tasks=0)
    waiter = threading.Thread(
        target=lambda: results.extend(
            rx_exec(one, log=str(log), gate=str(gate), number=list(range(30)), compute_context=where)
        )
    )
    waiter.start()
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) >= 11)
    postgresql_cluster.stop()
    gate.touch()  # runs end, and the workers cannot tell
    said = [tmp_path / f"worker-{number}.log" for number in range(2)]
    wait_until(lambda: all(text.read_text().count("store.trouble") >= 5 for text in said))
    postgresql_cluster.ensure_postgres_running()
    waiter.join()
    assert results == list(range(30))
    assert sorted(int(line) for line in log.read_text().splitlines()) == list(range(30))
    assert [worker.poll() for worker in workers] == [None, None]
    assert all("could_not_sign_off" not in text.read_text() for text in said)


def test_a_look_after_workers_that_meets_an_outage(server_url, postgresql_cluster, monkeypatch, caplog):
    """Workers that could not tell of themselves meanwhile have a moment to do so before anybody is warned of them."""
    monkeypatch.setattr(watch, "_FIRST_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.01)
    warned: list[object] = []
    monkeypatch.setattr(
        warnings, "warn", lambda *what, **_: warned.append(what)
    )  # heard whatever is filtered
    with closing(connect(server_url)) as store:
        register(store, "w", lease_seconds=0.001)
        submit(store, "j")
        looking = watch.Watch(store, "j", stacklevel=1)
        postgresql_cluster.stop()

        def restart() -> None:
            wait_until(lambda: "store.retry" in caplog.text)
            postgresql_cluster.ensure_postgres_running()

        restarting = threading.Thread(target=restart)
        restarting.start()
        looking.look()
        restarting.join()
        assert not warned
        watch.warn_if_stuck(store, "j", "3.11", stacklevel=1)
        assert len(warned) == 1


def test_descriptor_of_a_lost_connection_is_a_new_childs(server_url):
    """A worker's connection is lost, and a child's socket gets its number at once: the worker listens to it."""
    with closing(connect(server_url)) as store, taking_turns(store) as supervisor:
        supervisor._turn()
        watched = supervisor._wakeup.fileno()
        other = connect(server_url)
        listening = "FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN rxsql'"
        assert scalar(other, f"SELECT COUNT(pg_terminate_backend(pid)) {listening}") == 1
        wait_until(lambda: scalar(other, f"SELECT COUNT(*) {listening}") == 0)
        other.close()
        wait_until(lambda: (supervisor._wait(), supervisor._wakeup.fileno())[1] is None)
        if (null := os.open(os.devnull, os.O_RDONLY)) != watched:
            os.dup2(null, watched)
            os.close(null)
        with socket.socket() as some:
            os.dup2(some.fileno(), watched)
        with socket.socket(fileno=watched) as child:
            supervisor._selector.register(child, selectors.EVENT_READ)
            supervisor._selector.unregister(child)


@pytest.mark.parametrize("any_url", ["sqlite", "postgresql"], indirect=True)
def test_a_connection_lost_just_when_it_is_taken(store: Store) -> None:
    """SQLAlchemy hands the driver's own error on then; a worker tries again, as after any other loss."""

    def lose(_connection: object) -> None:
        raise store.engine.dialect.loaded_dbapi.OperationalError("the connection is lost")

    sa.event.listen(store.engine, "engine_connect", lose)
    for lend in (store.read, store.write):
        with pytest.raises(StoreError, match="the connection is lost"), lend():
            pass
    sa.event.remove(store.engine, "engine_connect", lose)
    assert jobs.list_jobs(store) == []


@pytest.mark.parametrize("any_url", ["sqlite", "postgresql"], indirect=True)
def test_a_connection_lost_just_when_it_is_given_back(store: Store) -> None:
    """The same at the other end: what was committed stays, and who wrote it hears that it may not have been."""

    def lose(*_: object) -> None:
        raise store.engine.dialect.loaded_dbapi.OperationalError("the connection is lost")

    with pytest.raises(StoreError, match="the connection is lost"), store.write() as connection:
        connection.settle = lose
    assert jobs.list_jobs(store) == []
