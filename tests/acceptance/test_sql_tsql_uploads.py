"""T-SQL on SQL Server: how the rows of a large result get into their table, attempt by attempt, and out of it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import wait_until
from support import claim, rows_of, scalar
from tsqlserver import REMOVALS, Answer, connection, cursor, ended, exists, running_worker, server, submit

from rxsql.models import Task
from rxsql.reports import Outcome, Report, RunOutcome, TaskEnd
from rxsql.pages import OUT, Page, Spool
from rxsql.settings import Settings
from rxsql.store import jobs, tasks
from rxsql.store.engine import Store
from rxsql.worker.poller import Poller
from rxsql.worker.uploads import Uploads


def spool(*bodies: str) -> Spool:
    """Return a result of so many pages."""
    header = '[["a", "int", null, null]]'
    made = (Page(OUT, number, body.count("],[") + 1, header, body) for number, body in enumerate(bodies))
    return Spool(made)


class Hand:
    """A worker whose steps the test takes."""

    def __init__(self, server: Store, cursor: Any, job_id: str, tasks: int) -> None:
        query = f"SELECT TOP ({tasks}) g FROM (VALUES (1), (2)) AS x(g)"
        self.job_key = submit(cursor, "pass", job_id, query=query, partition_by="g")
        self.store = server
        self.poller = Poller(server, Settings(slots=1))

    def begin(self, *bodies: str, steps: int) -> tuple[Uploads, Task]:
        """Claim a task, and write pages of its result."""
        (task,) = claim(self.store, self.poller.worker_key, self.job_key, limit=1)
        uploads = Uploads(self.poller)
        entry = RunOutcome(task.job_key, task.task, task.attempt, Outcome(task.first_run, None))
        end = TaskEnd(
            job_key=task.job_key, task=task.task, attempt=task.attempt, failed_runs=0, seconds=0.1, error=None
        )
        uploads.put(entry, spool(*bodies), end)
        for _ in range(steps):
            assert uploads.step() is None
        return uploads, task

    def end(self, uploads: Uploads) -> None:
        """Write what is left, and the end of the task."""
        ended = None
        while ended is None:
            ended = uploads.step()
        self.poller.write(Report(outcomes=[ended[0]], ends=[ended[1]]))

    def rows(self) -> list[tuple[int, int, int]]:
        """Return task, page and value of each row of the job's table."""
        return rows_of(self.store, f"SELECT task, page, c0 FROM rx.output_{self.job_key} ORDER BY task, page")


@pytest.fixture
def hand(server: Store, cursor: Any, request: Any) -> Iterator[Callable[..., Hand]]:
    """Makes a worker of the test's own; no other is there."""
    name = f"by-hand-{request.node.name}".replace("[", "-").replace("]", "")
    yield lambda tasks=1: Hand(server, cursor, name, tasks)
    cursor.execute("IF @@TRANCOUNT > 0 ROLLBACK")
    cursor.execute("EXEC rx.cleanup_job ?", name)


def test_the_next_attempt_begins_anew(hand: Any) -> None:
    """Rows of an attempt that was killed half-way are no part of the next one's; another task's stay."""
    worker = hand(tasks=2)
    first, _ = worker.begin("[[1,0]]", steps=1)
    worker.begin("[[2,0]]", "[[3,1]]", steps=2)
    assert worker.rows() == [(0, 0, 1), (1, 0, 2), (1, 1, 3)]
    worker.end(first)
    held = list(worker.poller.held().values())
    tasks.release(worker.store, worker.poller.worker_key, [(task, task.attempt) for task in held])
    again, task = worker.begin("[[4,0]]", steps=1)
    assert task.attempt == 2
    assert worker.rows() == [(0, 0, 1), (1, 0, 4)]
    worker.end(again)


def test_a_worker_that_must_end_takes_its_table_back(hand: Any, cursor: Any) -> None:
    """The task goes back as if it had never been begun: no table is left."""
    worker = hand()
    uploads, _ = worker.begin("[[1,0]]", "[[2,1]]", steps=1)
    assert exists(cursor, f"rx.output_{worker.job_key}")
    uploads.abandon()
    assert not exists(cursor, f"rx.output_{worker.job_key}")


def test_a_page_is_stored_once(hand: Any) -> None:
    """A page whose answer was lost on its way is written again, and its rows are there once."""
    worker = hand()
    worker.begin("[[1,0]]", steps=1)
    (task,) = worker.poller.held().values()
    entry = RunOutcome(task.job_key, task.task, task.attempt, Outcome(0, None))
    (page,) = spool("[[1,0]]")
    assert worker.poller.add_pages(entry, [page], anew=False)
    assert worker.rows() == [(0, 0, 1)]


def test_rows_that_no_table_takes_stay_a_page(
    hand: Any, server: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A page whose cells are not of their column's type is stored as it is, and the worker says so."""
    worker = hand()
    uploads, _ = worker.begin("[[1,0]]", '[["no number",1]]', steps=2)
    assert [record.getMessage() for record in caplog.records if "result.untyped" in record.getMessage()]
    worker.end(uploads)
    found = rows_of(
        server, f"SELECT page, body FROM rx.frames WHERE job_key = {worker.job_key} AND direction = 'out'"
    )
    assert sorted(found) == [(0, ""), (1, '[["no number",1]]')]


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_what_removes_a_running_job_removes_its_table(
    remove: Callable[[Store, str, Any], Any], server: Store, hand: Any, cursor: Any
) -> None:
    """Whoever cancels or purges a job drops the table that is being written; the worker writes no more."""
    worker = hand()
    uploads, _ = worker.begin("[[1,0]]", "[[2,1]]", steps=1)
    job_id = str(scalar(server, f"SELECT job_id FROM rx.jobs WHERE job_key = {worker.job_key}"))
    remove(server, job_id, cursor)
    assert not exists(cursor, f"rx.output_{worker.job_key}")
    assert uploads.step() is None
    assert not uploads
    assert not exists(cursor, f"rx.output_{worker.job_key}")


LARGE = """
import os
import pandas
OutputDataSet = pandas.DataFrame({"text": ["t" * 100] * 100_000, "process": os.getpid()})
"""


def test_a_worker_killed_while_it_writes_the_table(server: Store, cursor: Any) -> None:
    """The table is of the second attempt, whole, with no row of the first."""
    with running_worker(server) as first:
        job_key = submit(cursor, LARGE, "killed")
        count = f"SELECT COUNT(*) FROM rx.frames WHERE job_key = {job_key} AND direction = 'out'"
        wait_until(lambda: scalar(server, count) >= 2)
        first.kill()
        first.wait()
    assert scalar(server, f"SELECT attempt FROM rx.task_rows WHERE job_key = {job_key}") == 1
    with running_worker(server):
        assert ended(server, "killed") == ("finished", None)
    assert scalar(server, f"SELECT attempt FROM rx.task_rows WHERE job_key = {job_key}") == 2
    (rows,) = Answer(cursor, "EXEC rx.fetch_result N'killed'").rows
    assert len(rows) == scalar(server, f"SELECT COUNT(*) FROM rx.output_{job_key}") == 100_000
    assert len({process for _, process in rows}) == 1
    cursor.execute("EXEC rx.cleanup_job N'killed'")
    assert not exists(cursor, f"rx.output_{job_key}")
