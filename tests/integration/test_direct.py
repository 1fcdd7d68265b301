"""Statements that go straight to the driver, and connections that are kept: all is as through SQLAlchemy."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC

import pytest
import sqlalchemy as sa
from conftest import STORES
from support import rows_of, scalar, skip_on_babelfish, submit

from rxsql.errors import StoreError
from rxsql.settings import Settings
from rxsql.store import jobs as jobs_of
from rxsql.store.dialects import sqlite
from rxsql.store.engine import Store, connect
from rxsql.store.tables import constant, jobs, task_rows

pytestmark = pytest.mark.parametrize("any_url", STORES, indirect=True)

JOB = sa.select(jobs).where(jobs.c.job_id == sa.bindparam("job_id"))
JOB_COUNT = constant(sa.select(sa.func.count()).select_from(jobs))
DROP_TASKS = constant(sa.delete(task_rows).where(task_rows.c.job_key >= sa.bindparam("least")))
SET_STATUS = constant(sa.update(jobs).values(status=sa.bindparam("status")))
ADD_TIMES = (
    sa.update(jobs).where(jobs.c.job_id == sa.bindparam("one")).values(started_at=sa.bindparam("then"))
)


def test_rows_are_those_of_sqlalchemy(store: Store) -> None:
    """A row of a constant statement has the same names and values, times in UTC included, read in each way."""
    submit(store, "j", tasks=1)
    with store.read() as connection:
        wanted, found = (
            connection.execute(one, {"job_id": "j"}).one_or_none() for one in (JOB, constant(JOB))
        )
        assert found._asdict() == wanted._asdict()
        assert found.created_at.tzinfo is UTC
        again = connection.execute(constant(JOB), {"job_id": "j"})
        assert again.mappings().one_or_none() == dict(wanted._mapping)
        assert [*again.scalars()] == [wanted.job_key] == [again.scalar()]
        none = connection.execute(constant(JOB), {"job_id": "other"})
        assert none.one_or_none() is None is none.scalar()
        assert none.all() == []


def test_values_go_in_as_through_sqlalchemy(store: Store) -> None:
    """A time is written as the same instant by both ways, to the millisecond."""
    submit(store, "j", tasks=1)
    with store.read() as connection:
        then = connection.execute(JOB, {"job_id": "j"}).one().created_at
    written = []
    for statement in (ADD_TIMES, constant(ADD_TIMES)):
        with store.write() as connection:
            assert connection.execute(statement, {"one": "j", "then": then}).rowcount == 1
        with store.write() as connection:
            written.append(connection.execute(JOB, {"job_id": "j"}).one().started_at)
            connection.execute(sa.update(jobs).values(started_at=None))
    assert written == [then.replace(microsecond=then.microsecond // 1000 * 1000)] * 2


def test_a_new_rows_key(store: Store) -> None:
    """Who inserts a job learns its key."""
    assert [submit(store, name) for name in "ab"] == sorted(
        key for (key,) in rows_of(store, "SELECT job_key FROM {rx}jobs")
    )


def test_columns_may_change(store: Store) -> None:
    """The same statement gives the columns that are there, as it may in T-SQL, whose batches build statements."""
    if store.dialect.name == "postgresql":
        pytest.skip("PostgreSQL refuses a prepared statement whose columns are others now")
    rx = f"{store.dialect.schema}." if store.dialect.schema else ""
    everything = constant(sa.text(f"SELECT * FROM {rx}own"))
    for change, wanted in (
        (f"CREATE TABLE {rx}own (a INT)", ["a"]),
        (f"ALTER TABLE {rx}own ADD b INT", ["a", "b"]),
    ):
        with store.write() as connection:
            connection.exec_driver_sql(change)
            connection.exec_driver_sql(f"INSERT INTO {rx}own (a) VALUES (1)")
            row = connection.execute(everything).all()[0]
            assert list(row._fields) == wanted
    with store.write() as connection:
        connection.exec_driver_sql(f"DROP TABLE {rx}own")


def test_two_rows_are_not_one(store: Store) -> None:
    """Who wants one row and finds two is told so."""
    submit(store, "a")
    submit(store, "b")
    with store.read() as connection, pytest.raises(sa.exc.MultipleResultsFound):
        connection.execute(constant(sa.select(jobs.c.job_id))).one_or_none()


@pytest.mark.parametrize("given", [{}, {"job_id": "j", "other": 1}], ids=["one less", "one more"])
def test_parameters_must_be_the_statements(store: Store, given: dict[str, object]) -> None:
    """Other parameters than a constant statement was first sent with are refused."""
    statement = constant(JOB)
    with store.read() as connection:
        connection.execute(statement, {"job_id": "j"})
        with pytest.raises(sa.exc.ArgumentError, match="Not the parameters"):
            connection.execute(statement, given)


def test_an_error_undoes_and_frees_the_lock(store: Store) -> None:
    """What is wrong with a statement is said in rxsql's words; nothing of its transaction stays, nor do its locks."""
    submit(store, "j", tasks=1)
    with pytest.raises(StoreError, match="refused a statement"), store.write() as connection:
        assert connection.execute(DROP_TASKS, {"least": 0}).rowcount == 1
        connection.execute(SET_STATUS, {"status": "nonsense"})
    assert scalar(store, "SELECT COUNT(*) FROM {rx}task_rows") == 1
    assert jobs_of.cancel(connect(store.url), "j")
    submit(store, "next")


def test_both_ways_are_one_transaction(store: Store) -> None:
    """What is sent past SQLAlchemy and what through it is committed together, and undone together."""
    submit(store, "j", tasks=1)

    def counts() -> list[object]:
        return [scalar(store, f"SELECT COUNT(*) FROM {{rx}}{table}") for table in ("task_rows", "jobs")]

    with pytest.raises(ZeroDivisionError), store.write() as connection:
        connection.execute(DROP_TASKS, {"least": 0})
        connection.execute(sa.delete(jobs))
        raise ZeroDivisionError
    assert counts() == [1, 1]
    with store.write() as connection:
        connection.execute(sa.delete(jobs))
        connection.execute(DROP_TASKS, {"least": 0})
    assert counts() == [0, 0]


def test_a_rush(store: Store) -> None:
    """As many connections as are wanted at once can be had, and only a few are kept when the rush is over."""
    wanted = 20
    with ExitStack() as rush:
        opened = [rush.enter_context(store.read()) for _ in range(wanted)]
        assert len({id(connection) for connection in opened}) == wanted
        assert [connection.execute(JOB_COUNT).scalar() for connection in opened] == [0] * wanted
    assert sum(connection.closed for connection in opened) == wanted - 5
    with ExitStack() as again:
        kept = [again.enter_context(store.read()) for _ in range(5)]
        assert {*map(id, kept)} == {id(connection) for connection in opened if not connection.closed}


def test_many_threads_submit_at_once(store: Store) -> None:
    """Each of them has its job stored, and the last one need not wait for long."""
    skip_on_babelfish(store, "it ignores HOLDLOCK: two may store the same function")
    names = [f"j{number}" for number in range(40)]
    with ThreadPoolExecutor(len(names)) as pool:
        keys = [*pool.map(lambda name: submit(store, name), names)]
    assert len({*keys}) == len(names) == scalar(store, "SELECT COUNT(*) FROM {rx}jobs")


def test_a_turn_that_was_never_given_back(store: Store) -> None:
    """Who was interrupted just as it was its turn to write holds up the others once, no longer than a lock may."""
    if not store.dialect.embedded:
        pytest.skip("a server gives its locks in turn by itself")
    store = Store(sqlite.StoreDialect(sa.make_url(store.url), Settings(busy_timeout_seconds=0.1)))
    connections = store.dialect._connections_of(store.engine)
    lost = connections.wait_for_turn()
    assert lost is not None and lost.locked()
    submit(store, "first")
    assert connections._turn is not lost
    submit(store, "second")
    assert lost.locked()
    store.close()


def test_a_forked_process_that_ends(store: Store) -> None:
    """It leaves its parent's connections alone: they are the parent's to close."""
    with store.read() as connection:
        connection.execute(JOB_COUNT)
    pid = os.fork()
    if pid == 0:
        try:
            store.close()
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0) == (pid, 0)
    with store.read() as again:
        assert again is connection
        assert again.execute(JOB_COUNT).scalar() == 0
