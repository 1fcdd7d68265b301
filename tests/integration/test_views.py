"""The views are a contract: the documented columns, the same on every store, and numbers that are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import STORES
from support import claim, ended, register, rows_of, submit

from rxsql.store import tasks
from rxsql.store.engine import Store

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
CONTRACT = ("jobs", "workers", "tasks", "console", "crashes", "job_progress", "queue_depth")

pytestmark = pytest.mark.parametrize("any_url", STORES, indirect=True)


def documented(name: str) -> list[str]:
    after = README[README.index(f"`{name}` has one row") :]
    table = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE).group().splitlines()
    return [line.split("|")[1].strip().strip("`") for line in table[2:]]


@pytest.mark.parametrize("name", CONTRACT)
def test_columns_are_the_documented_ones(store: Store, name: str) -> None:
    """Each table and view of the contract has the documented columns, in their order, on every store."""
    prefix = f"{store.dialect.schema}." if store.dialect.schema else ""
    with store.read() as connection:
        found = connection.exec_driver_sql(f"SELECT * FROM {prefix}{name} WHERE 1 = 0")
        assert list(found.keys()) == documented(name)


def test_progress_counts_what_is_there(store: Store) -> None:
    """Counts by state, failed runs, percent, wait, rate and estimated end follow a job from its start to its end."""
    worker = register(store, "w")
    job_key = submit(store, "progress", tasks=4, num_tasks=3)
    query = (
        "SELECT status, percent_, failed_runs, queued_tasks, running_tasks, finished_tasks, failed_tasks, "
        "CASE WHEN waiting_seconds >= 0 THEN 1 ELSE 0 END, CASE WHEN runs_per_second > 0 THEN 1 ELSE 0 END, "
        "CASE WHEN estimated_end IS NOT NULL THEN 1 ELSE 0 END FROM {rx}job_progress WHERE job_id = 'progress'"
    ).replace("percent_", '"percent"')

    assert rows_of(store, query) == [("queued", 0, 0, 4, 0, 0, 0, 1, 0, 0)]
    assert rows_of(store, "SELECT depth FROM {rx}queue_depth") == [(3,)]

    first, second = claim(store, worker, job_key, slots=2, limit=2)
    tasks.report(store, worker, ended(first))
    tasks.report(store, worker, ended(second, error="ValueError: no"))
    assert rows_of(store, query) == [("running", 50, 1, 2, 0, 1, 1, 1, 1, 1)]
    assert rows_of(store, "SELECT depth FROM {rx}queue_depth") == [(1,)]

    for task in claim(store, worker, job_key, slots=2, limit=2):
        tasks.report(store, worker, ended(task))
    assert rows_of(store, query) == [("finished", 100, 1, 0, 0, 3, 1, 0, 1, 1)]
    assert rows_of(store, "SELECT depth FROM {rx}queue_depth") == [(0,)]


def test_progress_of_what_takes_for_ever(store: Store) -> None:
    """A job whose end is further away than any calendar reaches has none, and percent is right for many runs."""
    worker = register(store, "w")
    job_key = submit(store, "endless", tasks=200)
    tasks.report(store, worker, ended(*claim(store, worker, job_key, slots=1, limit=1)))
    _run(store, "UPDATE {rx}jobs SET started_at = '0001-01-01 00:00:00.000'")
    query = "SELECT status, \"percent\", estimated_end FROM {rx}job_progress WHERE job_id = 'endless'"
    assert rows_of(store, query) == [("running", 0, None)]
    _run(store, "UPDATE {rx}jobs SET status = 'finished', run_count = 2000000000, done_runs = 1999999999")
    assert [row[:2] for row in rows_of(store, query)] == [("finished", 99)]


def _run(store: Store, statement: str) -> None:
    prefix = f"{store.dialect.schema}." if store.dialect.schema else ""
    with store.write() as connection:
        connection.exec_driver_sql(statement.replace("{rx}", prefix))
