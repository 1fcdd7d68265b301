"""Large tables that scripts return: written page by page, and all of one attempt."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from conftest import STORES, wait_until
from support import claim, new_job, rows_of, scalar, submit

from rxsql import RxInSqlServer, rx_exec, rx_execute_script, rx_get_job_results, rx_wait_for_job
from rxsql.errors import StoreLockedError
from rxsql.kinds import JobKind, NewScript
from rxsql.models import Task
from rxsql.reports import Outcome, Report, RunOutcome, TaskEnd
from rxsql.pages import IN, OUT, Page, Spool
from rxsql.payload import PYTHON
from rxsql.settings import Settings
from rxsql.store import tasks, workers
from rxsql.store.engine import Store, connect
from rxsql.store.submission import add_job
from rxsql.worker.poller import Poller
from rxsql.worker.uploads import Uploads

ANY = pytest.mark.parametrize("any_url", STORES, indirect=True)
PAGES = "SELECT page, row_count FROM {rx}frames WHERE direction = 'out' ORDER BY page"
BODY = "[" + ",".join(["[1,0]"] * 200_000) + "]"
SCRIPT = """
import os
import pandas
OutputDataSet = pandas.DataFrame({"text": ["t" * 100] * 300_000, "process": os.getpid()})
"""


@pytest.fixture
def poller(store: Store) -> Poller:
    """A registered worker."""
    return Poller(store, Settings(slots=1))


@pytest.fixture
def job_key(store: Store) -> int:
    """A script's job of one run."""
    script = script_of(Spool())
    return submit(store, tasks=1, kind=JobKind.SCRIPT, script=script, function=b"", has_inputs=False)


def script_of(table: Spool) -> NewScript:
    """Return a script of one task, which has this input."""
    return NewScript(
        language="Python",
        script="pass",
        input_name="InputDataSet",
        output_name="OutputDataSet",
        params="[]",
        frames=[table],
    )


def spool(count: int, rows: int = 200_000, direction: str = OUT) -> Spool:
    """Return a table of so many pages, too large to be kept in memory."""
    made = Spool(Page(direction, number, rows, '[["a","int",null,null]]', BODY) for number in range(count))
    assert made.file is not None
    return made


def entry_of(task: Task) -> RunOutcome:
    return RunOutcome(task.job_key, task.task, task.attempt, Outcome(0, None))


def end_of(task: Task) -> TaskEnd:
    return TaskEnd(
        job_key=task.job_key, task=task.task, attempt=task.attempt, failed_runs=0, seconds=0.1, error=None
    )


def uploading(poller: Poller, task: Task, pages: Spool) -> Uploads:
    uploads = Uploads(poller)
    uploads.put(entry_of(task), pages, end_of(task))
    return uploads


@ANY
def test_a_page_a_step(store, poller, job_key):
    """Each step writes a page; the outcome and the task's end come after the last one."""
    (task,) = claim(store, poller.worker_key, job_key)
    uploads = uploading(poller, task, spool(3))
    for count in (1, 2, 3):
        assert [end.task for end in uploads.ends()] == [0]
        assert uploads.step() is None
        assert rows_of(store, PAGES) == [(number, 200_000) for number in range(count)]
    outcome, end = uploads.step()
    assert not uploads
    assert poller.write(Report(outcomes=[outcome], ends=[end])).ended_jobs == {job_key}
    assert len(rows_of(store, PAGES)) == 3


@ANY
def test_what_was_lost_is_not_written(store, poller, job_key):
    """Another worker has the task: no page more is written, and the upload is gone."""
    (task,) = claim(store, poller.worker_key, job_key)
    uploads = uploading(poller, task, spool(3))
    uploads.step()
    tasks.release(store, poller.worker_key, [(task, 1)])
    assert uploads.step() is None
    assert not uploads
    assert len(rows_of(store, PAGES)) == 1


@ANY
@pytest.mark.parametrize("is_large", [True, False])
def test_the_next_attempt_begins_anew(store, poller, job_key, is_large):
    """Pages of an attempt that was killed half-way are no part of the next one's table, whichever way that goes."""
    (task,) = claim(store, poller.worker_key, job_key)
    uploads = uploading(poller, task, spool(3))
    uploads.step()
    uploads.step()
    tasks.release(store, poller.worker_key, [(task, 1)])
    (again,) = claim(store, poller.worker_key, job_key)
    assert again.attempt == 2
    if is_large:
        uploads = uploading(poller, again, spool(1, rows=7))
        assert uploads.step() is None
        outcome, end = uploads.step()
    else:
        small = Spool([Page(OUT, 0, 7, '[["a","int",null,null]]', "[[1,0]]")])
        outcome = RunOutcome(job_key, 0, 2, Outcome(0, None), small)
        end = end_of(again)
    assert poller.write(Report(outcomes=[outcome], ends=[end])).ended_jobs == {job_key}
    assert rows_of(store, PAGES) == [(0, 7)]


@ANY
def test_a_worker_that_must_end_takes_its_pages_back(store, poller, job_key):
    """The task goes back as if it had never been begun, so that nothing of it may be left."""
    (task,) = claim(store, poller.worker_key, job_key)
    uploads = uploading(poller, task, spool(3))
    uploads.step()
    uploads.abandon()
    assert not uploads
    assert rows_of(store, PAGES) == []


@ANY
def test_a_damaged_table_fails_its_run(store, poller, job_key):
    """The script has changed the file: what was written is removed, and the run says why."""
    (task,) = claim(store, poller.worker_key, job_key)
    pages = spool(3)
    uploads = uploading(poller, task, pages)
    uploads.step()
    os.ftruncate(pages.file.fd, 1_500_000)
    outcome, end = uploads.step()
    assert "The table that run 0 returned is damaged" in str(outcome.outcome.error)
    assert (end.failed_runs, end.error) == (1, outcome.outcome.error)
    assert not uploads
    assert rows_of(store, PAGES) == []


@pytest.mark.parametrize("any_url", ["postgresql"], indirect=True)
def test_a_page_that_the_store_refuses_fails_its_run(store, poller, job_key):
    """A page that it takes neither as rows nor as it is: what was written is removed, and the run says why."""
    (task,) = claim(store, poller.worker_key, job_key)
    pages = spool(1)
    pages.add(Page(OUT, 1, 1, '[["a","int",null,null]]', '[["\0",0]]'))
    uploads = uploading(poller, task, pages)
    assert uploads.step() is None
    assert uploads.step() is None
    outcome, end = uploads.step()
    assert "The result could not be stored" in str(outcome.outcome.error)
    assert (end.failed_runs, end.error) == (1, outcome.outcome.error)
    assert not uploads
    assert rows_of(store, PAGES) == []


@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_a_damaged_table_while_the_store_is_locked(store_path, store, job_key, monkeypatch):
    """What is left of it cannot be removed yet: the run does not end before it is, and then it has failed."""
    monkeypatch.setenv("RXSQL_BUSY_TIMEOUT_SECONDS", "0.1")
    hasty = connect(str(store_path))
    poller = Poller(hasty, Settings(slots=1))
    (task,) = claim(store, poller.worker_key, job_key)
    pages = spool(3)
    uploads = uploading(poller, task, pages)
    uploads.step()
    os.ftruncate(pages.file.fd, 1_500_000)
    with store.write(), pytest.raises(StoreLockedError):
        uploads.step()
    outcome, end = uploads.step()
    assert "The table that run 0 returned is damaged" in str(outcome.outcome.error)
    assert end.failed_runs == 1
    assert rows_of(store, PAGES) == []
    hasty.close()


def seen(url: str, count: int) -> int:
    """Wait until so many pages are there."""
    import time

    from rxsql.store.engine import connect

    store = connect(url)
    prefix = "rx." if store.dialect.schema else ""
    while True:
        with store.read() as connection:
            sql = f"SELECT COUNT(*) FROM {prefix}frames WHERE direction = 'out'"
            found = connection.exec_driver_sql(sql).scalar()
        if found >= count:
            return found
        time.sleep(0.005)


@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_other_jobs_go_on_while_a_table_is_written(store, any_url, start_worker_on):
    """Runs of another job end, and are in the store, between one page of a large table and another."""
    with store.write() as connection:
        connection.exec_driver_sql("CREATE TABLE audit (what TEXT)")
        for what, table in (("page", "frames"), ("result", "results")):
            connection.exec_driver_sql(
                f"CREATE TRIGGER audit_{table} AFTER INSERT ON {table} BEGIN"
                f" INSERT INTO audit VALUES ('{what}'); END"
            )
    start_worker_on(any_url, slots=2, preload="pandas")
    where = RxInSqlServer(any_url, wait=False, auto_cleanup=False)
    other = rx_exec(seen, url=any_url, count=[1, 2], task_chunk_size=1, compute_context=where)
    job = rx_execute_script(SCRIPT, compute_context=where)
    rx_wait_for_job(job)
    rx_wait_for_job(other)
    order = [row[0] for row in rows_of(store, "SELECT what FROM audit ORDER BY rowid")]
    last_page = len(order) - 1 - order[::-1].index("page")
    assert order.index("page") < order.index("result") < last_page
    assert len(rx_get_job_results(job).output) == 300_000


@pytest.mark.parametrize("any_url", ["sqlite", "postgresql"], indirect=True)
def test_a_worker_killed_while_it_writes_a_table(
    store: Store, any_url: str, start_worker_on: Callable[..., Any]
) -> None:
    """The table is of the second attempt, whole, with no page of the first."""
    first = start_worker_on(any_url, slots=1, preload="pandas")
    job = rx_execute_script(SCRIPT, compute_context=RxInSqlServer(any_url, wait=False, auto_cleanup=False))
    wait_until(lambda: len(rows_of(store, PAGES)) >= 2)
    first.send_signal(signal.SIGKILL)
    first.wait()
    attempts = scalar(store, "SELECT attempt FROM {rx}task_rows WHERE status = 'running'")
    start_worker_on(any_url, slots=1, preload="pandas")
    rx_wait_for_job(job)
    output = rx_get_job_results(job).output
    assert len(output) == 300_000
    assert output["process"].nunique() == 1
    assert attempts == 1
    assert scalar(store, "SELECT attempt FROM {rx}task_rows") == 2
    assert [worker.is_alive for worker in workers.list_workers(store)].count(True) == 1
