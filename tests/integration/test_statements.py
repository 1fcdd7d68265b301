"""What the store is asked: how many statements a job, a thousand tasks and an idle second cost, and by which plans."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import wait_until
from support import claim, ended, line, register, scalar, submit

from rxsql import rx_cancel_job, rx_exec, rx_get_job_results, rx_wait_for_job
from rxsql.bench.site import Site
from rxsql.reports import Report
from rxsql.store import jobs, outputs, reaping, tasks, workers, workitems
from rxsql.store.counting import counted
from rxsql.store.engine import Store

LARGE, OTHER_JOBS, OTHER_TASKS, ENDED_JOBS = 50_000, 10, 1_000, 300
BOTH = pytest.mark.parametrize("any_url", ["sqlite", "postgresql"], indirect=True)


# --------------------------------------------------------------------------------------------------- how many


@pytest.fixture
def site(store_url: str, tmp_path: Path) -> Iterator[Site]:
    """A store with a worker that counts its statements."""
    with Site(store_url, 2, tmp_path, counting=True) as opened:
        yield opened


def identity(value: int) -> int:
    return value


def test_a_job_of_one_run(site: Site) -> None:
    """A job of one run, submitted and awaited, costs its client no more than 25 statements and 3 transactions.

    The worker's share depends on how often it looks, so it is counted over many jobs.
    """
    site.run(identity, value=[0])
    before = site.statements()
    for number in range(20):
        with counted(site.store) as sent:
            assert site.run(identity, value=[number]) == [number]
        assert len(sent.statements) <= 25
        assert sent.transactions <= 3
    assert site.statements() - before <= 20 * 30


def test_a_thousand_tasks_in_the_store(store_url: str, tmp_path: Path) -> None:
    """A thousand tasks are claimed and reported with 20 statements in 4 transactions, when two batches hold them."""
    store = Site(store_url, 1, tmp_path).store
    worker = register(store, "w")
    job_key = submit(store, tasks=1000)
    with counted(store) as sent:
        for _ in range(2):
            news = Report()
            for task in claim(store, worker, job_key, limit=500):
                one = ended(task)
                news.outcomes += one.outcomes
                news.ends += one.ends
            tasks.report(store, worker, news)
    assert jobs.get_job(store, "j").done_runs == 1000
    assert len(sent.statements) <= 20
    assert sent.transactions == 4


def test_a_thousand_runs_of_a_worker(site: Site) -> None:
    """A worker takes tiny runs in batches: far less than a statement a run."""
    site.run(identity, value=list(range(100)))
    before = site.statements()
    with counted(site.store) as sent:
        assert site.run(identity, value=list(range(5000))) == list(range(5000))
    assert (site.statements() - before + len(sent.statements)) / 5 <= 250


def test_an_idle_second(site: Site) -> None:
    """A worker with nothing to do asks at most five times a second."""
    site.run(identity, value=[0])
    site.statements()
    wait_until(lambda: _quiet(site))
    before, begun = site.statements(), time.monotonic()
    time.sleep(3)  # what is counted is a rate
    assert (site.statements() - before) / (time.monotonic() - begun) <= 5


def _quiet(site: Site) -> bool:
    before = site.statements()
    time.sleep(0.3)
    return site.statements() - before <= 1


# ------------------------------------------------------------------------------------------------- which plans

Sent = list[tuple[str, Any]]


def filled(store: Store, size: int) -> int:
    """Put a large job into a store, beside others; return its key."""
    for number in range(ENDED_JOBS):
        submit(store, f"ended-{number}", tasks=2)
        jobs.cancel(store, f"ended-{number}")
    for number in range(OTHER_JOBS):
        submit(store, f"other-{number}", tasks=OTHER_TASKS)
    key = submit(store, "large", tasks=size)
    return key


def gather_statistics(store: Store) -> None:
    """Let the planner know the store: PostgreSQL does that by itself after a while, SQLite never."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def road(store: Store, worker: int, key: int) -> None:
    """Send every statement on the road of a task: look, load, claim, report, give back, collect, take back."""
    tasks.open_jobs(store, worker, "3.11", limit=100)
    workitems.work_item(store, key)
    claimed = claim(store, worker, key, limit=5)
    claimed += tasks.claim(store, worker, key, slots_wanted=4, slots_held=4, limit=5)[1]
    tasks.task_inputs(store, key, [1, 2])
    tasks.runs_with_results(store, key, claimed[0])
    news = ended(claimed[0])
    news.chunks.append(line(claimed[1], "x"))
    tasks.report(store, worker, news)
    tasks.release(store, worker, [(claimed[2], 0)])
    workers.heartbeat(store, worker)
    jobs.job_status(store, "large")
    outputs.fetch_outcomes(store, key, after=-1, limit=100)
    outputs.fetch_console(store, key, after=0, limit=100)
    assert len(tasks.held_tasks(store, worker)) == 8
    reaping.reap(store, worker, "died")
    assert claim(store, worker, key, limit=5)  # to be taken back when the plans are carried out


@pytest.fixture
def sent(store: Store) -> Sent:
    """The statements of that road on a store with a large backlog, with their parameters."""
    worker, key = register(store, "w"), filled(store, LARGE)
    found: Sent = []

    def on_statement(*details: Any) -> None:
        if (
            details[2].lstrip().upper().startswith(("SELECT", "WITH", "UPDATE", "DELETE"))
            or "-- " in details[2]
        ):
            found.append((details[2], details[3][0] if details[5] else details[3]))

    sa.event.listen(store.engine, "before_cursor_execute", on_statement)
    road(store, worker, key)
    sa.event.remove(store.engine, "before_cursor_execute", on_statement)
    assert len(found) >= 15
    return found


TABLES = "task_rows|queued|unfinished|failed|results|console_chunks|inputs"


@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_plans_of_sqlite(store: Store, sent: Sent) -> None:
    """No statement on the road of a task scans a table that grows with the backlog, and none sorts tasks.

    None reads all tasks of a job, either, but the one that counts them when the job is done. So it is without
    statistics, which SQLite does not gather by itself, and with them.
    """
    _check_plans_of_sqlite(store, sent)
    gather_statistics(store)
    _check_plans_of_sqlite(store, sent)


def _check_plans_of_sqlite(store: Store, sent: Sent) -> None:
    with store.read() as connection:
        for statement, parameters in sent:
            plan = [
                row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
            assert not [step for step in plan if re.match(rf"SCAN ({TABLES})\b", step)], statement
            assert not [step for step in plan if re.match(r"SCAN jobs(?! USING INDEX ix_jobs_open)", step)]
            if not _counts_tasks(statement):
                assert not [step for step in plan if re.match(WHOLE_JOB, step)], statement
            if not _sorts_open_jobs(statement):
                assert not [step for step in plan if "TEMP B-TREE" in step], statement


WHOLE_JOB = rf"SEARCH ({TABLES}) USING PRIMARY KEY \(job_key=\?\)"


def _counts_tasks(statement: str) -> bool:
    """Whether it ends a job: it counts the tasks, once none is open."""
    return "counted.done_runs" in statement


def _sorts_open_jobs(statement: str) -> bool:
    """Whether it is the look for work: it sorts the open jobs, which are few, by their slots."""
    return "has_queued" in statement


@pytest.mark.parametrize("any_url", ["postgresql"], indirect=True)
def test_plans_of_postgresql(store: Store, sent: Sent) -> None:
    """The same on PostgreSQL: the tasks are read by seeks, never by a sequential scan, and are not sorted."""
    gather_statistics(store)
    for statement, parameters in sent:
        nodes = list(_nodes(_executed_plan(store, statement, parameters)))
        reading = [
            node for node in nodes if node.get("Relation Name") == "task_rows" and node["Actual Loops"]
        ]
        assert "Seq Scan" not in {node["Node Type"] for node in reading}, statement
        if not _counts_tasks(statement):
            by_key = [node for node in reading if node.get("Index Name") == "pk_task_rows"]
            assert all(re.search(r"\btask\b", node["Index Cond"]) for node in by_key), statement
        if not _sorts_open_jobs(statement):
            sorting = [node for node in nodes if node["Node Type"] == "Sort" and node["Actual Loops"]]
            assert not any(_reads_tasks(node) for node in sorting), statement


def _executed_plan(store: Store, statement: str, parameters: Any) -> dict[str, Any]:
    """Return the plan by which a statement was executed; its changes are undone."""

    class Undo(Exception):
        pass

    with pytest.raises(Undo), store.write() as connection:
        explained = connection.exec_driver_sql(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
        ).scalar()
        raise Undo
    return explained[0]["Plan"]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _reads_tasks(plan: dict[str, Any]) -> bool:
    return any(node.get("Relation Name") == "task_rows" for node in _nodes(plan))


def test_a_scan_would_be_found(store_url: str, tmp_path: Path) -> None:
    """The searches above find what they are there to find."""
    store = Site(store_url, 1, tmp_path).store
    with store.read() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT * FROM task_rows WHERE worker_key = 1 ORDER BY error"
        )
        steps = [row[3] for row in plan]
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT * FROM task_rows WHERE job_key = 1 AND status = 'running'"
        )
        steps += [row[3] for row in plan]
    assert any(re.match(rf"SCAN ({TABLES})\b", step) for step in steps)
    assert any("TEMP B-TREE" in step for step in steps)
    assert any(re.match(WHOLE_JOB, step) for step in steps)


@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_a_tasks_cost_does_not_grow_with_the_backlog(store: Store) -> None:
    """Looking, claiming one task and reporting it takes SQLite as many instructions beside 50,000 as beside 500."""
    worker = register(store, "w")
    few, many = submit(store, "few", tasks=500), submit(store, "many", tasks=LARGE)

    def work(key: int) -> Callable[[], None]:
        def once() -> None:
            tasks.open_jobs(store, worker, "3.11", limit=100)
            (task,) = claim(store, worker, key, limit=1)
            tasks.report(store, worker, ended(task))

        return once

    for key in (few, many):
        work(key)()
    assert _instructions(store, work(many)) <= 1.1 * _instructions(store, work(few))


@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_a_jobs_cost_does_not_grow_with_those_before(store: Store) -> None:
    """A whole job takes SQLite as many instructions after 2,000 purged ones of its function as after 20."""
    worker = register(store, "w")

    def once(number: int) -> None:
        key = submit(store, f"job-{number}", tasks=1)
        tasks.open_jobs(store, worker, "3.11", limit=100)
        (task,) = claim(store, worker, key, limit=1)
        tasks.report(store, worker, ended(task))
        state = jobs.job_state(store, f"job-{number}")
        assert state is not None
        assert len(outputs.fetch_outcomes(store, key, after=-1, limit=100)) == 1
        jobs.purge_ended(store, state)

    for number in range(20):
        once(number)
    few = _instructions(store, lambda: once(20))
    for number in range(21, 2_000):
        once(number)
    assert _instructions(store, lambda: once(2_000)) <= 1.1 * few


def _instructions(store: Store, work: Callable[[], None]) -> int:
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    with store.read() as connection:
        raw: Any = connection.connection.dbapi_connection
    raw.set_progress_handler(step, 1)
    try:
        work()
    finally:
        raw.set_progress_handler(None, 1)
    assert steps > 100  # it is the connection that works
    return steps


# ---------------------------------------------------------------------------------------------------- fairness


def test_a_small_job_behind_a_large_one(site: Site, context: Callable[..., Any]) -> None:
    """A job of one run that comes in behind 100,000 runs is done while most of those are still queued."""
    where = context(wait=False, num_tasks=0)
    large = rx_exec(identity, value=list(range(100_000)), compute_context=where)
    wait_until(lambda: scalar(site.store, "SELECT COUNT(*) FROM task_rows WHERE status = 'finished'"))
    small = rx_exec(identity, value=[7], compute_context=where)
    rx_wait_for_job(small)
    count = f"SELECT COUNT(*) FROM tasks WHERE job_id = '{large.job_id}' AND status = 'queued'"
    assert scalar(site.store, count) > 50_000
    assert rx_get_job_results(small) == [7]
    assert rx_cancel_job(large)


@pytest.mark.parametrize("size", [0, 20_000_000], ids=["slow", "huge"])
def test_one_task_does_not_hold_back_its_batch(
    site: Site, tmp_path: Path, context: Callable[..., Any], size: int
) -> None:
    """While one run is slow, and its value huge, the other runs of its batch are claimed, done and written."""
    gate = tmp_path / "gate"

    def work(number: int) -> int:
        if number == 5:
            while not gate.exists():
                time.sleep(0.01)
            return b"x" * size
        return number

    job = rx_exec(work, number=list(range(300)), compute_context=context(wait=False, num_tasks=2))
    done = "SELECT COUNT(*) FROM task_rows WHERE status = 'finished'"
    wait_until(lambda: scalar(site.store, done) == 299)
    assert scalar(site.store, "SELECT task FROM task_rows WHERE status = 'running'") == 5
    gate.touch()
    rx_wait_for_job(job)
    results = rx_get_job_results(job)
    assert len(results[5]) == size
    assert [value for value in results if value != results[5]] == [n for n in range(300) if n != 5]


def test_what_is_counted(store_url: str, tmp_path: Path) -> None:
    """The counting sees each statement and each commit, and nothing once it has ended."""
    store = Site(store_url, 1, tmp_path).store
    with counted(store) as sent:
        jobs.job_status(store, "none")
        submit(store, tasks=3)
    seen = len(sent.statements), sent.transactions
    jobs.job_status(store, "none")
    assert seen == (len(sent.statements), sent.transactions)
    assert seen[1] == 1
    assert sum("INSERT INTO task_rows" in statement for statement in sent.statements) == 1
    assert json.dumps(sent.statements)
