"""Rows that somebody has changed by hand: the job ends with a reason, and the worker goes on with the others."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import wait_until
from support import claim, line, new_job, register, scalar

from rxsql import payload
from rxsql.errors import StoreRefusedError
from rxsql.kinds import JobKind, NewScript
from rxsql.models import NewTask
from rxsql.reports import Report
from rxsql.pages import IN, Page, Spool
from rxsql.store import tasks
from rxsql.store.engine import Store
from rxsql.store.submission import add_job
from rxsql.store.tables import OPEN, jobs

EMBEDDED, SERVER = ["sqlite"], ["postgresql"]
BOTH = EMBEDDED + SERVER


def submit(store: Store, job_id: str) -> int:
    """Submit a job of three runs, as a client does."""
    job = new_job(
        job_id,
        function=payload.dump_function(lambda number, who=job_id: number, {}),
        python=payload.PYTHON,
        run_count=3,
    )
    given = [NewTask(first_run=i, run_count=1, input=payload.dump({"number": i})) for i in range(3)]
    return add_job(store, replace(job, tasks=given), inline_bytes=512)


def submit_script(store: Store, job_id: str, pages: int = 1) -> int:
    """Submit a script with an input, as a client does."""
    table = [Page(IN, number, 1, '[["a","int",null,null]]', "[[1]]") for number in range(pages)]
    job = new_job(
        job_id,
        function=b"",
        kind=JobKind.SCRIPT,
        python=payload.PYTHON,
        run_count=1,
        script=NewScript(
            language="Python",
            script="OutputDataSet = InputDataSet",
            input_name="InputDataSet",
            output_name="OutputDataSet",
            params="[]",
            frames=[Spool(table)],
        ),
    )
    given = [NewTask(first_run=0, run_count=1, input=None)]
    return add_job(store, replace(job, tasks=given), inline_bytes=512)


def submit_large_script(store: Store, job_id: str) -> int:
    """Submit a script whose input is read page by page."""
    return submit_script(store, job_id, pages=2)


def change(store: Store, sql: str) -> None:
    prefix = f"{store.dialect.schema}." if store.dialect.schema else ""
    with store.write() as connection:
        connection.exec_driver_sql(sql.replace("{rx}", prefix))


def status(store: Store, job_key: int) -> Any:
    return scalar(store, f"SELECT status FROM {{rx}}jobs WHERE job_key = {job_key}")


DEEP = "[" * 50_000
ONE = "AND task = 1"
CHANGES = [
    (EMBEDDED, "task_rows SET attempt = 9223372036854775807", ONE, "failed"),
    (SERVER, "task_rows SET attempt = 32767", ONE, "failed"),
    (BOTH, "jobs SET num_tasks = -1", "", "finished"),
    (BOTH, f"jobs SET packages_to_load = '{DEEP}'", "", "failed"),
    (BOTH, f"jobs SET packages_to_load = '{json.dumps(['x' * 100] * 20_000)}'", "", "failed"),
    (BOTH, "jobs SET packages_to_load = '[1, null]'", "", "failed"),
    (BOTH, "jobs SET run_count = 2147483647", "", "finished"),
    (BOTH, "jobs SET execution_timeout_seconds = -1", "", "failed"),
    (BOTH, "jobs SET execution_timeout_seconds = 2147483647", "", "finished"),
    (BOTH, "jobs SET max_attempts = -1", "", "finished"),
    (BOTH, "task_rows SET run_count = 2147483647", ONE, "failed"),
    (BOTH, "task_rows SET first_run = -1", ONE, "failed"),
    (BOTH, "task_rows SET run_count = 0", ONE, "finished"),
    (EMBEDDED, "jobs SET num_tasks = 'much'", "", "failed"),
    (EMBEDDED, "jobs SET run_count = 'much'", "", "failed"),
    (EMBEDDED, "jobs SET max_attempts = 'much'", "", "failed"),
    (EMBEDDED, "jobs SET execution_timeout_seconds = 'much'", "", "failed"),
    (EMBEDDED, "jobs SET started_at = 'yesterday'", "", "finished"),
    (EMBEDDED, "task_rows SET first_run = 'much'", "", "failed"),
    (EMBEDDED, "task_rows SET run_count = 'much'", "", "failed"),
    (EMBEDDED, "task_rows SET attempt = 'much'", "", "finished"),
    (EMBEDDED, "task_rows SET input = 'much'", "", "failed"),
    (EMBEDDED, "task_rows SET input = 5", "", "failed"),
    (EMBEDDED, "jobs SET function_hash = 'number'", "", "failed"),
    (EMBEDDED, "jobs SET function_hash = 'text'", "", "failed"),
]
ENDED = "finished or failed"
SCRIPT_CHANGES = [
    (BOTH, "frames SET page = -1", "", "failed"),
    (BOTH, "frames SET row_count = -1", "", "failed"),
    (BOTH, "frames SET row_count = 2147483647", "", ENDED),
    (BOTH, "frames SET header = 'x'", "", "failed"),
    (BOTH, "frames SET body = 'x'", "", "failed"),
    (EMBEDDED, "frames SET body = x'ff'", "", "failed"),
    (EMBEDDED, "frames SET header = 5", "", "failed"),
    (EMBEDDED, "frames SET page = 'x'", "", "failed"),
    (EMBEDDED, "frames SET row_count = 'x'", "", "failed"),
    (BOTH, f"scripts SET params = '{DEEP}'", "", "failed"),
    (BOTH, "scripts SET params = '{{\"a\": 1}}'", "", "failed"),
    (BOTH, "scripts SET params = '5'", "", "failed"),
    (EMBEDDED, "scripts SET params = 5", "", "failed"),
    (EMBEDDED, "scripts SET script = x'ff'", "", "failed"),
    (BOTH, "jobs SET kind = 'function'", "", "failed"),
    (BOTH, "jobs SET kind = 'published'", "", "failed"),
]


LARGE_CHANGES = [
    (stores, sql, "AND page = 1", "finished or failed")
    for stores, sql, *_ in SCRIPT_CHANGES
    if sql.startswith("frames")
]


@pytest.mark.parametrize("any_url", BOTH, indirect=True)
def test_changed_rows_end_their_jobs_only(store, any_url, start_worker_on):
    """Each job ends, with a reason where it has failed; the one behind them is well, and the worker lives."""
    if store.dialect.name == "sqlite":
        change(store, "INSERT INTO functions VALUES ('number', 5), ('text', 'text')")
    expected = {}
    made = ((submit, CHANGES), (submit_script, SCRIPT_CHANGES), (submit_large_script, LARGE_CHANGES))
    for make, changes in made:
        for stores, sql, which, becomes in changes:
            if store.dialect.name in stores:
                job = make(store, f"spoiled {len(expected)}")
                change(store, f"UPDATE {{rx}}{sql} WHERE job_key = {job} {which}")
                expected[job] = (sql[:60], becomes)
    end_before_another(store, any_url, start_worker_on)
    for job, (sql, becomes) in expected.items():
        end = status(store, job)
        assert end in becomes, (sql, end)
        assert end == "finished" or scalar(store, f"SELECT error FROM {{rx}}jobs WHERE job_key = {job}")


def end_before_another(store: Store, url: str, start: Any) -> None:
    """See that all jobs end under a new worker, another one is well, and the worker lives."""
    worker = start(url, slots=2)
    other = submit(store, "healthy")
    wait_until(lambda: status(store, other) == "finished")
    wait_until(lambda: not scalar(store, f"SELECT COUNT(*) FROM {{rx}}jobs WHERE {OPEN}"))
    assert worker.poll() is None


# --------------------------------------------------------------------------------------------- odd texts and refusals


def raise_with_nul(where: str) -> Any:
    """Return what raises an error with a NUL in its text, when it is called or unpickled."""

    def fail(number=0):
        raise ValueError("nul \0 here")

    class Unpicklable:
        def __reduce__(self):
            return fail, ()

    return fail if where == "called" else (lambda number, other=Unpicklable(): number)


@pytest.mark.parametrize("any_url", BOTH, indirect=True)
@pytest.mark.parametrize("where", ["called", "unpickled"])
def test_a_reason_with_a_nul(store, any_url, start_worker_on, where):
    """A job that fails as a whole does, though no database takes its reason as it is."""
    job = new_job(
        "odd",
        function=payload.dump_function(raise_with_nul(where), {}),
        python=payload.PYTHON,
        run_count=3,
        continue_on_failure=False,
    )
    given = [NewTask(first_run=i, run_count=1, input=payload.dump({"number": i})) for i in range(3)]
    job_key = add_job(store, replace(job, tasks=given), inline_bytes=512)
    end_before_another(store, any_url, start_worker_on)
    assert status(store, job_key) == "failed"
    assert "nul \N{SYMBOL FOR NULL} here" in scalar(store, "SELECT error FROM {rx}jobs WHERE job_id = 'odd'")


@pytest.mark.parametrize("any_url", SERVER, indirect=True)
def test_a_refused_end_fails_its_job_only(store, any_url, start_worker_on):
    """A report of which the store takes no part ends its job, with what the store said."""
    change(
        store,
        "CREATE FUNCTION rx.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF new.job_key = 1 AND new.status = 'finished' THEN"
        " RAISE EXCEPTION 'none of mine' USING ERRCODE = '22000'; END IF; RETURN new; END $$",
    )
    change(
        store,
        "CREATE TRIGGER refuse BEFORE UPDATE ON rx.task_rows FOR EACH ROW EXECUTE FUNCTION rx.refuse()",
    )
    job = submit(store, "spoiled")
    end_before_another(store, any_url, start_worker_on)
    assert status(store, job) == "failed"
    assert "none of mine" in scalar(store, "SELECT error FROM {rx}jobs WHERE job_id = 'spoiled'")


@pytest.mark.parametrize("any_url", BOTH, indirect=True)
def test_half_a_character_is_refused(store):
    """What no driver can send is an error of the store, and not for a second try."""
    with pytest.raises(StoreRefusedError), store.read() as connection:
        connection.execute(sa.select(jobs.c.job_key).where(jobs.c.job_id == "half \ud800"))


@pytest.mark.parametrize("any_url", SERVER, indirect=True)
def test_a_statement_that_the_driver_does_not_send_is_refused(store):
    """The driver's error has no SQLSTATE, as that of a lost connection; but the connection is as it was."""
    with pytest.raises(StoreRefusedError), store.read() as connection:
        connection.execute(sa.select(jobs.c.job_key).where(jobs.c.job_key.in_(range(70_000))))


@pytest.mark.parametrize("any_url", SERVER, indirect=True)
def test_a_job_that_cannot_even_fail_stops_no_other(store, any_url, start_worker_on):
    """The store takes neither a task's end nor the job's: others go on, and so does the worker."""
    for name, table in (("refuse_end", "jobs"), ("refuse_task", "task_rows")):
        change(
            store,
            f"CREATE FUNCTION rx.{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF new.job_key = 1 AND new.status IN ('finished', 'failed') THEN"
            " RAISE EXCEPTION 'none of mine' USING ERRCODE = '23000'; END IF; RETURN new; END $$",
        )
        change(
            store,
            f"CREATE TRIGGER {name} BEFORE UPDATE ON rx.{table} FOR EACH ROW EXECUTE FUNCTION rx.{name}()",
        )
    stuck = submit(store, "spoiled")
    worker = start_worker_on(any_url, slots=2)
    wait_until(lambda: status(store, stuck) == "running")
    other = submit(store, "healthy")
    wait_until(lambda: status(store, other) == "finished")
    assert worker.poll() is None


# -------------------------------------------------------------------------------------------------- dead workers


OF_WORKER = "WHERE worker_key = {dead}"
OF_JOB = "WHERE job_key = {job}"
DEAD = [
    (BOTH, f"{{rx}}console_chunks SET lines = 'no JSON' {OF_JOB}"),
    (BOTH, f"{{rx}}task_rows SET run_count = 2147483647 {OF_JOB}"),
    (EMBEDDED, f"{{rx}}workers SET pid = 1099511627776 {OF_WORKER}"),
    (EMBEDDED, f"{{rx}}workers SET pid = 'many' {OF_WORKER}"),
    (EMBEDDED, f"{{rx}}workers SET heartbeat_at = 'yesterday' {OF_WORKER}"),
    (EMBEDDED, f"{{rx}}workers SET stopped_at = 'now' {OF_WORKER}"),
]


@pytest.mark.parametrize("any_url", BOTH, indirect=True)
def test_what_dead_workers_left_stops_no_other(store, any_url, start_worker_on):
    """Another worker starts and works, whatever somebody has made of the dead ones' rows."""
    for number, (stores, sql) in enumerate(DEAD):
        if store.dialect.name in stores:
            dead = register(store, f"dead {number}", lease_seconds=0.1)
            job = submit(store, f"spoiled {number}")
            change(store, f"UPDATE {{rx}}jobs SET max_attempts = 1 WHERE job_key = {job}")
            task, *_ = claim(store, dead, job, limit=1)
            tasks.report(store, dead, Report(number=1, chunks=[line(task, "said")]))
            change(store, f"UPDATE {sql.replace('{job}', str(job)).replace('{dead}', str(dead))}")
    end_before_another(store, any_url, start_worker_on)


@pytest.mark.parametrize("any_url", BOTH, indirect=True)
def test_a_job_without_open_tasks_ends(store, any_url, start_worker_on):
    """Whoever waits for a job whose tasks somebody has ended or deleted does not wait for ever."""
    found = [submit(store, name) for name in ("ended", "deleted")]
    worker = register(store, "worker", lease_seconds=0.1)
    for job in found:
        claim(store, worker, job, limit=1)
    change(store, f"UPDATE {{rx}}task_rows SET status = 'finished' WHERE job_key = {found[0]}")
    change(store, f"DELETE FROM {{rx}}task_rows WHERE job_key = {found[1]}")
    end_before_another(store, any_url, start_worker_on)
    assert [status(store, job) for job in found] == ["finished", "failed"]
    assert "tasks were deleted" in scalar(store, "SELECT error FROM {rx}jobs WHERE job_id = 'deleted'")
