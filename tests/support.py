"""What several test modules need: jobs made by hand, and the operations of a worker without a process."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rxsql.models import NewJob, NewTask, Task
from rxsql.reports import ConsoleChunk, Outcome, Report, RunOutcome, TaskEnd
from rxsql.store import tasks, workers
from rxsql.store.engine import Store
from rxsql.store.submission import add_job


def scalar(store: Store, sql: str) -> object:
    """Return one value; `{rx}` in the statement stands for the schema's prefix."""
    prefix = f"{store.dialect.schema}." if store.dialect.schema else ""
    with store.read() as connection:
        return connection.exec_driver_sql(sql.replace("{rx}", prefix)).scalar()


def rows_of(store: Store, sql: str) -> list[tuple]:
    """Return rows; `{rx}` as in `scalar`."""
    prefix = f"{store.dialect.schema}." if store.dialect.schema else ""
    with store.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql.replace("{rx}", prefix))]


def register(store: Store, name: str, *, lease_seconds: float = 30.0) -> int:
    return workers.register(
        store, worker_id=name, python="3.11", version="1", slots=4, lease_seconds=lease_seconds
    )


def new_job(job_id: str = "j", *, tasks: int = 4, chunk: int = 1, **options: object) -> NewJob:
    values: dict[str, object] = {
        "job_id": job_id,
        "name": "f",
        "function": b"function",
        "shared_input": None,
        "tasks": [NewTask(first_run=i * chunk, run_count=chunk, input=b"in%d" % i) for i in range(tasks)],
        "has_inputs": True,
        "num_tasks": 0,
        "max_attempts": 3,
        "continue_on_failure": True,
        "packages_to_load": (),
        "execution_timeout_seconds": 0,
        "auto_cleanup": True,
        "console_output": False,
        "context": "{}",
        "python": "3.11",
        "submitted_by": "me",
        "run_count": tasks * chunk,
    }
    return NewJob(**{**values, **options})  # type: ignore[arg-type]


def submit(store: Store, job_id: str = "j", **options: object) -> int:
    return add_job(store, new_job(job_id, **options), inline_bytes=512)


def claim(
    store: Store, worker: int, job_key: int, *, slots: int = 4, slots_held: int = 0, limit: int = 100
) -> list[Task]:
    return tasks.claim(store, worker, job_key, slots_wanted=slots, slots_held=slots_held, limit=limit)[1]


def ended(task: Task, *, error: str | None = None) -> Report:
    """What a worker reports when all runs of a task have ended in the same way."""
    runs = range(task.first_run, task.first_run + task.run_count)
    value = None if error else b"value"
    return Report(
        outcomes=[
            RunOutcome(task.job_key, task.task, task.attempt, Outcome(run, value, error)) for run in runs
        ],
        ends=[
            TaskEnd(
                job_key=task.job_key,
                task=task.task,
                attempt=task.attempt,
                failed_runs=task.run_count if error else 0,
                seconds=0.5,
                error=error,
            )
        ],
    )


def line(task: Task, text: str) -> ConsoleChunk:
    return ConsoleChunk(
        task.job_key, task.task, task.first_run, task.attempt, "stdout", 0, text, partial=False
    )


def suspend(worker: subprocess.Popen[bytes], path: Path) -> None:
    """Stop a worker on an embedded store at a moment at which it does not hold the lock of the file."""
    while True:
        worker.send_signal(signal.SIGSTOP)
        connection = sqlite3.connect(path, timeout=0.2, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            worker.send_signal(signal.SIGCONT)
        finally:
            connection.close()


def counted(store: Store, work: Callable[[], object]) -> int:
    """Return how many statements an operation sends."""
    from sqlalchemy import event

    sent: list[str] = []
    listener = lambda *arguments: sent.append(arguments[2])  # noqa: E731
    event.listen(store._engine, "before_cursor_execute", listener)
    try:
        work()
    finally:
        event.remove(store._engine, "before_cursor_execute", listener)
    return len(sent)


_LOCK_WAITS = {
    "postgresql": "pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = CURRENT_DATABASE()",
    "mssql": "sys.dm_exec_requests WHERE blocking_session_id <> 0 AND database_id = DB_ID()",
}


def lock_waits(store: Store) -> object:
    """Return how many transactions on a server wait for a lock that another one has."""
    return scalar(store, f"SELECT COUNT(*) FROM {_LOCK_WAITS[store.dialect.name]}")


def skip_on_babelfish(store: Store, reason: str) -> None:
    """Skip what Babelfish, a stand-in for SQL Server, cannot show."""
    if store.dialect.schema and "Babelfish" in str(
        scalar(store, "SELECT version()" if store.dialect.name == "postgresql" else "SELECT @@VERSION")
    ):
        pytest.skip(f"Babelfish {reason}")
