"""Large inputs of scripts: read page by page while the worker's other work goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import STORES
from support import new_job, rows_of, scalar
from turns import supervisor, turn_until

from rxsql.errors import StoreError
from rxsql.kinds import JobKind, NewScript
from rxsql.pages import IN, OUT, Page, Spool
from rxsql.payload import PYTHON
from rxsql.store import jobs, scripts
from rxsql.store.engine import Store
from rxsql.store.submission import add_job
from rxsql.worker.supervisor import Supervisor

__all__ = ["supervisor"]
ANY = pytest.mark.parametrize("any_url", STORES, indirect=True)
HEADER = '[["a","int",null,null]]'


def pages(*values: int) -> Spool:
    """Return a table with a page of one row for each value."""
    return Spool(Page(IN, number, 1, HEADER, f"[[{value}]]") for number, value in enumerate(values))


def submit(store: Store, *inputs: Spool) -> int:
    """Submit a script with a run for each input, which it returns; return the job's key."""
    script = NewScript(
        language="Python",
        script="OutputDataSet = InputDataSet",
        input_name="InputDataSet",
        output_name="OutputDataSet",
        params="[]",
        frames=list(inputs),
    )
    job = new_job(tasks=len(inputs), kind=JobKind.SCRIPT, script=script, function=b"", python=PYTHON)
    return add_job(
        store, replace(job, tasks=[replace(task, input=None) for task in job.tasks]), inline_bytes=512
    )


def status(store: Store, job_key: int) -> str:
    return str(scalar(store, f"SELECT status FROM {{rx}}jobs WHERE job_key = {job_key}"))


def returned(store: Store, job_key: int, task: int) -> list[str]:
    return [page.body for number, page in scripts.fetch_pages(store, job_key, OUT) if number == task]


def has_begun(supervisor: Supervisor) -> Callable[[], bool]:
    return lambda: bool(supervisor._dispatcher.downloads)


@ANY
def test_a_page_a_step(store: Store, supervisor: Supervisor) -> None:
    """Each step reads a page; the task can be handed out after the last one, and gets all of them."""
    job_key = submit(store, pages(5, 6, 7))
    supervisor._dispatcher.look()
    (job,) = supervisor._jobs.values()
    supervisor._dispatcher._claim(job)
    (dispatch,) = job.backlog
    for _ in range(3):
        assert dispatch.unread is not None
        supervisor._dispatcher.downloads.step()
    assert dispatch.unread is None
    assert list(dispatch.input) == list(pages(5, 6, 7))
    assert not supervisor._dispatcher.downloads
    turn_until(supervisor, lambda: status(store, job_key) == "finished")
    assert returned(store, job_key, 0) == ["[[5,0],[6,1],[7,2]]"]


@ANY
def test_other_tasks_run_while_an_input_is_read(
    store: Store, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task whose input is here runs, and is reported, before one in front of it that is still being read."""
    job_key = submit(store, pages(1, 2, 3), pages(4))
    ended = f"SELECT task FROM {{rx}}task_rows WHERE job_key = {job_key} AND status = 'finished'"
    step = supervisor._dispatcher.downloads.step
    with monkeypatch.context() as patch:
        patch.setattr(supervisor._dispatcher.downloads, "step", lambda: None)  # the pages take their time
        turn_until(supervisor, lambda: rows_of(store, ended) == [(1,)])
    assert supervisor._dispatcher.downloads
    step()
    turn_until(supervisor, lambda: status(store, job_key) == "finished")
    assert returned(store, job_key, 0) == ["[[1,0],[2,1],[3,2]]"]


@ANY
def test_a_worker_renews_its_lease_while_it_reads(
    store: Store, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input that takes longer to be read than a lease lasts does not make its worker look dead."""
    beaten = []
    monkeypatch.setattr(supervisor._poller, "keep_alive", lambda: beaten.append(None) or True)
    submit(store, pages(*range(20)))
    turn_until(supervisor, has_begun(supervisor))
    beaten.clear()
    turns = 0
    while supervisor._dispatcher.downloads:
        supervisor._turn()
        turns += 1
    assert turns >= 19
    assert len(beaten) == turns


@pytest.mark.parametrize("any_url", ["sqlite", "postgresql"], indirect=True)
def test_trouble_with_the_store_repeats_the_page(store: Store, supervisor: Supervisor) -> None:
    """A page that could not be read is read at the next step; none is there twice, or missing."""
    job_key = submit(store, pages(1, 2, 3))
    turn_until(supervisor, has_begun(supervisor))
    rename(store, "frames", "frames_away")
    with pytest.raises(StoreError, match="frames"):
        supervisor._dispatcher.downloads.step()
    rename(store, "frames_away", "frames")
    turn_until(supervisor, lambda: status(store, job_key) == "finished")
    assert returned(store, job_key, 0) == ["[[1,0],[2,1],[3,2]]"]


def rename(store: Store, table: str, name: str) -> None:
    prefix = "rx." if store.dialect.schema else ""
    with store.write() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {prefix}{table} RENAME TO {name}")


@ANY
def test_rows_that_are_gone_fail_their_run(store: Store, supervisor: Supervisor) -> None:
    """A page that somebody deletes while the others are read fails that run with a sentence; others go on."""
    job_key = submit(store, pages(1, 2, 3), pages(4))
    turn_until(supervisor, has_begun(supervisor))
    with store.write() as connection:
        prefix = "rx." if store.dialect.schema else ""
        connection.exec_driver_sql(f"DELETE FROM {prefix}frames WHERE task = 0 AND page = 2")
    turn_until(supervisor, lambda: status(store, job_key) == "finished")
    (error,) = rows_of(store, "SELECT error FROM {rx}results WHERE error IS NOT NULL")[0]
    assert "The input of task 0 is not in the store any more" in error
    assert returned(store, job_key, 1) == ["[[4,0]]"]


@ANY
def test_a_canceled_job_is_read_no_more(store: Store, supervisor: Supervisor) -> None:
    """What is canceled while its input is read is forgotten, and the next job runs."""
    job_key = submit(store, pages(*range(50)))
    turn_until(supervisor, has_begun(supervisor))
    jobs.cancel(store, "j")
    turn_until(supervisor, lambda: job_key not in supervisor._jobs)
    turn_until(supervisor, lambda: not supervisor._dispatcher.downloads)
    jobs.purge(store, "j")
    assert status(store, job_key) == "canceled"
