"""Statements that go straight to SQLite's driver: they give what they give through SQLAlchemy."""

from __future__ import annotations

from datetime import UTC

import pytest
import sqlalchemy as sa
from support import scalar, submit

from rxsql.errors import StoreError
from rxsql.store.engine import Store
from rxsql.store.tables import constant, jobs

pytestmark = pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)

JOB = sa.select(jobs).where(jobs.c.job_id == sa.bindparam("job_id"))
ADD_TIMES = (
    sa.update(jobs).where(jobs.c.job_id == sa.bindparam("one")).values(started_at=sa.bindparam("then"))
)


def test_rows_are_those_of_sqlalchemy(store: Store) -> None:
    """A row of a constant statement has the same names and values, times in UTC included, read in each way."""
    submit(store, "j", tasks=1)
    with store.read() as connection:
        there, here = (connection.execute(one, {"job_id": "j"}) for one in (JOB, constant(JOB)))
        wanted = there.one_or_none()
        found = here.one_or_none()
        assert found._asdict() == wanted._asdict()
        assert found.created_at.tzinfo is UTC
        again = connection.execute(constant(JOB), {"job_id": "j"})
        assert again.mappings().one_or_none() == dict(wanted._mapping)
        assert [*again.scalars()] == [wanted.job_key] == [again.scalar()]
        none = connection.execute(constant(JOB), {"job_id": "other"})
        assert none.one_or_none() is None is none.scalar()
        assert none.all() == []


def test_values_go_in_as_through_sqlalchemy(store: Store) -> None:
    """A time is written as text in UTC by both ways."""
    submit(store, "j", tasks=1)
    with store.read() as connection:
        then = connection.execute(JOB, {"job_id": "j"}).one().created_at
    for statement in (ADD_TIMES, constant(ADD_TIMES)):
        with store.write() as connection:
            assert connection.execute(statement, {"one": "j", "then": then}).rowcount == 1
        assert scalar(store, "SELECT started_at = created_at FROM jobs") == 1
        with store.write() as connection:
            connection.execute(sa.update(jobs).values(started_at=None))


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
    """What is wrong with a statement is said in rxsql's words; nothing of its transaction stays, nor does the lock."""
    submit(store, "j", tasks=1)
    broken = constant(sa.text("UPDATE jobs SET status = :status"))
    dropped = constant(sa.text("DELETE FROM task_rows WHERE job_key >= :least"))
    with pytest.raises(StoreError, match="refused a statement"), store.write() as connection:
        assert connection.execute(dropped, {"least": 0}).rowcount == 1
        connection.execute(broken, {"status": "nonsense"})
    assert scalar(store, "SELECT COUNT(*) FROM task_rows") == 1
    submit(store, "next")


def test_both_ways_are_one_transaction(store: Store) -> None:
    """What is sent past SQLAlchemy and what through it is committed together, and undone together."""
    submit(store, "j", tasks=1)
    dropped = constant(sa.text("DELETE FROM task_rows WHERE job_key >= :least"))
    with pytest.raises(ZeroDivisionError), store.write() as connection:
        connection.execute(dropped, {"least": 0})
        connection.execute(sa.delete(jobs))
        raise ZeroDivisionError
    assert scalar(store, "SELECT COUNT(*) FROM task_rows") == scalar(store, "SELECT COUNT(*) FROM jobs") == 1
    with store.write() as connection:
        connection.execute(sa.delete(jobs))
        connection.execute(dropped, {"least": 0})
    assert scalar(store, "SELECT COUNT(*) FROM task_rows") == scalar(store, "SELECT COUNT(*) FROM jobs") == 0
