"""An SQLite file in trouble: its disk is full, or it was locked for longer than anybody waits."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fulldisk
import pytest
import sqlalchemy as sa
from conftest import wait_until
from support import new_job, submit

from rxsql import rx_exec, rx_get_job_results, rx_get_job_status, rx_wait_for_job
from rxsql.errors import StoreError, StoreLockedError
from rxsql.models import NewTask
from rxsql.store import install, jobs
from rxsql.store.engine import connect
from rxsql.store.submission import add_job


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """The file while which is there the disk is full."""
    return tmp_path / "full"


@pytest.fixture
def worker(store_path: Path, full: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker whose disk may be full; what it says is in `worker.log`."""
    environment = {**os.environ, "RXSQL_STORE": str(store_path), "RXSQL_SLOTS": "2"}
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, fulldisk.__file__, str(full)], env=environment, stdout=log, stderr=log
        )
    log_says(tmp_path, "worker.started")
    yield process
    full.unlink(missing_ok=True)
    process.terminate()
    process.wait(timeout=20)


def log_says(folder: Path, text: str) -> None:
    wait_until(lambda: text in (folder / "worker.log").read_text())


def test_worker_survives_a_full_disk(worker, context, full, tmp_path):
    """While there is no room the worker says so and keeps what has ended; when there is some, all results are right."""
    gate = tmp_path / "gate"

    def wait_and_make(path, seed):
        import pathlib
        import random
        import time

        while not pathlib.Path(path).exists():
            time.sleep(0.01)
        return random.Random(seed).randbytes(100_000)

    job = rx_exec(
        wait_and_make, path=str(gate), seed=list(range(10)), compute_context=context(wait=False, num_tasks=2)
    )
    wait_until(lambda: rx_get_job_status(job) == "running")
    full.touch()
    gate.touch()
    log_says(tmp_path, "is full. Free some room; nothing stored was lost.")
    full.unlink()
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == [random.Random(seed).randbytes(100_000) for seed in range(10)]
    assert worker.poll() is None


def test_submission_to_a_full_disk(store_path, full):
    """A job that does not fit is an error that says so, leaves nothing, and fits when there is room."""
    store = connect(str(store_path))
    install.install(store)
    task = NewTask(first_run=0, run_count=1, input=random.randbytes(500_000))
    large = replace(new_job(), tasks=[task], run_count=1)
    listener = fulldisk.fill_while(str(full))
    try:
        full.touch()
        with pytest.raises(StoreError, match="The disk of the store .* is full"):
            add_job(store, large, inline_bytes=512)
        assert jobs.list_jobs(store) == []
        full.unlink()
        add_job(store, large, inline_bytes=512)
        assert len(jobs.list_jobs(store)) == 1
    finally:
        sa.event.remove(sa.Engine, "begin", listener)
        store.close()


def test_locked_for_longer_than_a_client_waits(store_path, monkeypatch):
    """A client that gets no lock in time says who may have it and which setting waits longer."""
    monkeypatch.setenv("RXSQL_BUSY_TIMEOUT_SECONDS", "0.1")
    holder, store = connect(str(store_path)), connect(str(store_path))
    install.install(holder)
    with holder.write():
        with pytest.raises(StoreLockedError, match="fuser .*jobs.db.*RXSQL_BUSY_TIMEOUT_SECONDS"):
            submit(store)
    submit(store)
    for one in (holder, store):
        one.close()
