"""What a worker does in its turns, step by step."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from conftest import STORES
from support import claim, register, scalar, submit
from turns import supervisor, turn_until

from rxsql import payload
from rxsql.payload import PYTHON
from rxsql.store.engine import Store
from rxsql.worker import standby
from rxsql.worker.supervisor import Supervisor

__all__ = ["supervisor"]
ANY = pytest.mark.parametrize("any_url", STORES, indirect=True)


@pytest.fixture
def other_worker(store: Store) -> Iterator[None]:
    """A worker of a living process, which is not this one."""
    register(store, "another")
    prefix = f"{store.dialect.schema}." if store.dialect.schema else ""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with store.write() as connection:
            connection.exec_driver_sql(f"UPDATE {prefix}workers SET pid = {process.pid}")
        yield
        process.kill()


def submit_one(store: Store) -> int:
    return submit(store, tasks=1, python=PYTHON, function=payload.dump_function(lambda: None, {}))


@ANY
def test_a_child_loads_a_job_while_its_worker_claims_for_it(store: Store, supervisor: Supervisor) -> None:
    """Nothing is claimed yet when a child gets the function; it ends without a task when somebody else was first."""
    turn_until(supervisor, supervisor._pool.standby)
    job_key = submit_one(store)
    supervisor._dispatcher.look()
    (job,) = supervisor._jobs.values()
    (child,) = job.children
    status = f"SELECT status FROM {{rx}}task_rows WHERE job_key = {job_key}"
    assert scalar(store, status) == "queued"
    assert claim(store, register(store, "quicker"), job_key)
    turn_until(supervisor, lambda: child.number not in supervisor._pool.children)
    assert supervisor._jobs == {}
    assert scalar(store, status) == "running"


@ANY
def test_a_run_gets_one_child(store: Store, supervisor: Supervisor) -> None:
    """Also where the job may have several, and one has loaded it before anything was claimed."""
    turn_until(supervisor, supervisor._pool.standby)
    submit_one(store)
    supervisor._dispatcher.look()
    (job,) = supervisor._jobs.values()
    supervisor._dispatcher.work()
    assert job.slots == 2
    assert len(job.children) == 1


@ANY
def test_no_child_loads_a_job_that_others_may_claim(
    store: Store, other_worker: None, supervisor: Supervisor
) -> None:
    """Of several workers one is first: each of the others would have wasted a child."""
    turn_until(supervisor, supervisor._pool.standby)
    submit_one(store)
    supervisor._dispatcher.look()
    (job,) = supervisor._jobs.values()
    assert job.children == []
    turn_until(supervisor, lambda: job.children)


@ANY
def test_no_child_is_forked_while_one_ends(
    store: Store, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both at once would take the processors from whoever waits for a job; the next is forked when it has ended."""
    pool = supervisor._pool
    turn_until(supervisor, lambda: len(pool.standby()) == standby._WANTED)
    monkeypatch.setattr(standby, "_APART_SECONDS", 60.0)  # however slow the store is
    before = set(pool.children)
    submit_one(store)
    turn_until(supervisor, lambda: any(child.stopping for child in pool.children.values()))
    assert set(pool.children) == before
    turn_until(supervisor, lambda: set(pool.children) - before)
    assert len(before - set(pool.children)) == 1
    assert len(pool.standby()) == len(before)


@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_children_are_forked_one_after_the_other(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several at once would do the same; only where none is left, the next job would wait for one."""
    now = [time.monotonic()]
    monkeypatch.setattr(standby.time, "monotonic", lambda: now[0])
    pool, keeper = supervisor._pool, standby.Standby(supervisor._pool)
    keeper.fill()
    keeper.fill()
    assert len(pool.standby()) == 1
    now[0] += standby._APART_SECONDS
    keeper.fill()
    assert len(pool.standby()) == 2
    for child in pool.standby():
        child.job_key = 1
    keeper.fill()
    assert len(pool.standby()) == 1
    keeper.put_off()
    keeper.fill()
    assert len(pool.standby()) == 1


@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_children_are_forked_at_once_where_jobs_follow_each_other(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put off for each of them, the next one's child would not be ready in time."""
    now = [time.monotonic()]
    monkeypatch.setattr(standby.time, "monotonic", lambda: now[0])
    pool, keeper = supervisor._pool, standby.Standby(supervisor._pool)
    while len(pool.standby()) < standby._WANTED:
        keeper.fill()
        now[0] += standby._APART_SECONDS

    def left_after_one_is_taken() -> int:
        pool.standby()[0].job_key = 1
        keeper.take()
        keeper.fill()
        keeper.fill()
        return len(pool.standby())

    assert left_after_one_is_taken() == standby._WANTED - 1
    now[0] += standby._APART_SECONDS / 2
    assert left_after_one_is_taken() == standby._WANTED
    now[0] += standby._APART_SECONDS * 2
    assert left_after_one_is_taken() == standby._WANTED - 1
