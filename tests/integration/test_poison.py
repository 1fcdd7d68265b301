"""Poison tasks: each does its worst to the process, the streams or the worker, and the other runs and jobs go on."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import wait_until
from support import scalar

from rxsql import (
    RxInSqlServer,
    rx_exec,
    rx_get_job_output,
    rx_get_job_results,
    rx_get_job_status,
    rx_wait_for_job,
)
from rxsql.errors import FailedRunsWarning
from rxsql.store import install
from rxsql.store.engine import connect

MEGABYTE = 2**20


@pytest.fixture
def worker(start_worker) -> subprocess.Popen[bytes]:
    """A worker of two children, each of which may have 400 MB."""
    return start_worker(slots=2, memory_mb=400)


def exit_at_once() -> None:
    import os

    os._exit(3)


def crash() -> None:
    import ctypes

    ctypes.string_at(0)


def eat() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(10_000_000))


def recurse() -> int:
    return 1 + recurse()


def nest() -> Any:
    nested: list = []
    for _ in range(200_000):
        nested = [nested]
    return nested


def raise_what_cannot_be_rebuilt() -> None:
    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    raise Odd(1, 2)


def raise_what_fails_to_be_rebuilt() -> None:
    class Bad(Exception):
        def __reduce__(self):
            return divmod, (1, 0)

    raise Bad("as bad as it gets")


def raise_at_length() -> None:
    raise ValueError("long " * 10_000_000)


def leave() -> None:
    raise SystemExit("enough")


def talk_nonsense() -> None:
    import os
    import socket
    import stat

    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                with socket.socket(fileno=os.dup(int(name))) as other:
                    for nonsense in (b"\0O", b"\1O", b"\0\xff\xff", b"\1"):
                        other.send(nonsense)
        except OSError:
            pass
    while True:
        pass


def healthy() -> str:
    return "well"


def unwelcome(poison: Callable[[], Any], number: int) -> Any:
    return poison() if number == 2 else number


POISONS = [
    (exit_at_once, "exit code 3"),
    (crash, "SIGSEGV"),
    (eat, "MemoryError"),
    (recurse, "RecursionError"),
    (nest, "(a list) cannot be pickled"),
    (raise_what_cannot_be_rebuilt, "1 and 2"),
    (raise_what_fails_to_be_rebuilt, "as bad as it gets"),
    (raise_at_length, "long long"),
    (leave, "enough"),
    (talk_nonsense, "The child process died"),
]


@pytest.mark.parametrize(("poison", "reason"), POISONS, ids=lambda value: getattr(value, "__name__", ""))
def test_poison_fails_its_run_only(worker, context, poison, reason):
    """The poisoned run fails and says why; the runs and the job beside it have their results, and the worker lives."""
    job = rx_exec(unwelcome, poison=poison, number=list(range(5)), compute_context=context(wait=False))
    assert rx_exec(healthy, compute_context=context()) == ["well"]
    rx_wait_for_job(job)
    with pytest.warns(FailedRunsWarning, match="1 of 5 runs failed"):
        found = rx_get_job_results(job)
    assert reason in repr(failed := found.pop(2)) or reason in str(failed)
    assert found == [0, 1, 3, 4]
    assert worker.poll() is None


def test_streams_that_were_closed(worker, context):
    """A run that closes its streams and their descriptors has its result, and the next one its output."""

    def close_all(number):
        import os
        import sys

        if number == 0:
            sys.stdout.close()
            sys.stderr.close()
            os.close(1)
            os.close(2)
        else:
            print("heard", number)
        return number

    job = rx_exec(
        close_all,
        number=[0, 1, 2],
        task_chunk_size=3,
        compute_context=context(wait=False, auto_cleanup=False),
    )
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == [0, 1, 2]
    assert rx_get_job_output(job) == "heard 1\nheard 2\n"
    assert worker.poll() is None


def test_daemon_does_not_outlive_its_child(worker, context, tmp_path):
    """A process that was forked twice, in a session of its own, lives as long as the job's child and no longer."""

    def begin_daemon(path):
        import os
        import pathlib
        import time

        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.setsid()
                pathlib.Path(path).write_text(str(os.getpid()))
                time.sleep(600)
            os._exit(0)
        os.wait()
        while not pathlib.Path(path).exists() or not pathlib.Path(path).read_text():
            time.sleep(0.01)
        return int(pathlib.Path(path).read_text()), os.path.exists(f"/proc/{pathlib.Path(path).read_text()}")

    ((pid, was_there),) = rx_exec(begin_daemon, path=str(tmp_path / "pid"), compute_context=context())
    assert was_there
    wait_until(lambda: not psutil.pid_exists(pid))
    assert worker.poll() is None


def test_copy_that_returns_too(worker, context, tmp_path):
    """A function that forks and returns in both processes has one outcome a run, and runs once more in none."""
    log = tmp_path / "log"

    def fork(path, number):
        import os
        import pathlib
        import time

        copied = os.fork() == 0
        with open(path, "a") as file:
            file.write(f"{number} {copied}\n")
        while f"{number} True\n" not in pathlib.Path(path).read_text():
            time.sleep(0.01)  # a copy ends with its child, perhaps before it comes to speak
        if copied and number % 2:
            raise ValueError("in the copy")
        return number

    found = rx_exec(
        fork, path=str(log), number=list(range(6)), task_chunk_size=3, compute_context=context(num_tasks=1)
    )
    assert found == list(range(6))
    assert sorted(log.read_text().splitlines()) == sorted(f"{n} {c}" for n in range(6) for c in (True, False))


def test_gigabyte_of_output(worker, context, store_path):
    """A flood is cut to what the limit says, and neither the worker's memory nor the captured file grows with it."""

    def flood():
        import os

        line = b"x" * 1023 + b"\n"
        block = line * 1024
        most = 0
        for _ in range(1024):
            os.write(1, block)
            most = max(most, os.fstat(1).st_blocks * 512)
        return most

    process = psutil.Process(worker.pid)
    before = process.memory_info().rss
    most = before
    job = rx_exec(flood, compute_context=context(wait=False, auto_cleanup=False))

    def has_ended() -> bool:
        nonlocal most
        most = max(most, process.memory_info().rss)
        return rx_get_job_status(job).is_final

    wait_until(has_ended, seconds=60)
    (blocks,) = rx_get_job_results(job)
    assert most - before < 300 * MEGABYTE
    assert blocks < 500 * MEGABYTE
    kept = int(scalar(connect(str(store_path)), "SELECT SUM(LENGTH(lines)) FROM console_chunks"))
    assert kept < 70 * MEGABYTE
    assert worker.poll() is None


def test_gigabyte_as_a_result(start_worker, context, campaign):
    """A result of a gigabyte (a third of one in a short campaign) fails its run by the limit's name and value; the run beside it and the worker go on."""
    worker = start_worker(slots=2)

    times = 32 if campaign.is_long else 10

    def make(number):
        import os

        return os.urandom(2**25) * (times * number)

    with pytest.warns(FailedRunsWarning, match="1 of 2"):
        found = rx_exec(make, number=[0, 1], compute_context=context())
    assert found[0] == b""
    assert "RXSQL_PAYLOAD_MB" in str(found[1]) and "256" in str(found[1])
    assert worker.poll() is None


def test_result_that_the_store_refuses(postgresql_url, start_worker_on, tmp_path):
    """A result that passes the limit and is too much for the database fails its run alone, with what it said."""
    store = connect(postgresql_url)
    install.install(store)
    with store.write() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION rx.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF LENGTH(new.body) > 1000 THEN"
            " RAISE EXCEPTION 'too much for me' USING ERRCODE = '54000'; END IF; RETURN new; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON rx.results FOR EACH ROW EXECUTE FUNCTION rx.refuse()"
        )
    store.close()
    worker = start_worker_on(postgresql_url, slots=1)

    def make(number):
        import os

        print("number", number)
        return os.urandom(2000) if number == 3 else number

    where = RxInSqlServer(postgresql_url, wait=False, auto_cleanup=False)
    job = rx_exec(make, number=list(range(8)), task_chunk_size=2, compute_context=where)
    rx_wait_for_job(job)
    with pytest.warns(FailedRunsWarning, match="1 of 8"):
        found = rx_get_job_results(job)
    assert "could not be stored" in str(found[3]) and "too much for me" in str(found[3])
    assert [*found[:3], *found[4:]] == [0, 1, 2, 4, 5, 6, 7]
    assert sorted(rx_get_job_output(job).splitlines()) == [f"number {number}" for number in range(8)]
    assert worker.poll() is None


def test_folder_of_a_killed_worker_is_removed_by_the_next(
    start_workers_on, store_path, tmp_path, monkeypatch
):
    """What a worker that was killed with all its processes has left in the temporary folder goes with the next one."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    (first,) = start_workers_on(str(store_path), 1, slots=1)
    wait_until(lambda: children_folders(temporary))
    first.send_signal(signal.SIGSTOP)  # it must not start another zygote, nor the zygote see it end
    for process in [*psutil.Process(first.pid).children(recursive=True), first]:
        process.kill()
    (left,) = temporary.iterdir()
    (second,) = start_workers_on(str(store_path), 1, slots=1)
    wait_until(lambda: left not in list(temporary.iterdir()))
    second.terminate()
    second.wait()
    assert list(temporary.iterdir()) == []


def children_folders(temporary: Path) -> list[Path]:
    return list(temporary.glob("rxsql-worker-*/child-*"))
