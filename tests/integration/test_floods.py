"""Floods of console lines: written in blocks while they last, and yet complete, in order and soon to be seen."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import wait_until

from rxsql import rx_exec, rx_get_job_results, rx_wait_for_job
from rxsql.errors import JobFailedError


def flood():
    """Print until lines go in blocks, and some more; return how many lines that were."""
    deadline = time.monotonic() + 30
    count = 0
    while sys.stdout.line_buffering or count % 100:
        assert time.monotonic() < deadline
        print("line", count)
        count += 1
    for _ in range(7):
        print("line", count)
        count += 1
    return count


def then_subprocess():
    count = flood()
    subprocess.run(["echo", "from a subprocess"], check=True)
    print("last")
    return count


def then_system():
    count = flood()
    os.system("echo from a subprocess")
    print("last")
    return count


def then_bytes():
    count = flood()
    sys.stdout.buffer.write(b"from a subprocess\n")
    print("last")
    return count


def then_fork():
    count = flood()
    pid = os.fork()
    if not pid:
        print("from a subprocess")
        os._exit(0)
    os.waitpid(pid, 0)
    print("last")
    return count


def lines_of(path: Path, attempt: int = 1) -> list[str]:
    """Return what a person with `sqlite3` sees of the lines that an attempt printed, in their order."""
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT text FROM console WHERE attempt = ? ORDER BY line", (attempt,)
    ).fetchall()
    connection.close()
    return [row[0] for row in rows]


@pytest.mark.parametrize("function", [then_subprocess, then_system, then_bytes, then_fork])
def test_order_in_a_flood(context, store_path, function):
    """What another writer writes stands after the lines printed before, and before those printed later; all once."""
    (count,) = rx_exec(function, compute_context=context(auto_cleanup=False))
    expected = [f"line {number}" for number in range(count)]
    assert lines_of(store_path) == [*expected, "from a subprocess", "last"]


@pytest.mark.parametrize("way", ["os._exit", "posix._exit", "os.kill"])
def test_end_in_a_flood(context, store_path, monkeypatch, way):
    """A process that ends itself in the middle of a flood has left every line it printed."""
    monkeypatch.setenv("RXSQL_MAX_ATTEMPTS", "1")

    def end():
        count = flood()
        print(f"after {count}")
        if way == "os.kill":
            os.kill(os.getpid(), 9)
        elif way == "os._exit":
            os._exit(3)
        __import__("posix")._exit(3)

    with pytest.raises(JobFailedError):
        rx_exec(end, compute_context=context(auto_cleanup=False))
    *lines, last = lines_of(store_path)
    assert lines == [f"line {number}" for number in range(len(lines))]
    assert last == f"after {len(lines)}"


def test_a_flood_is_seen_when_it_stops(context, store_path, tmp_path):
    """The last lines of a flood are rows while its run goes on without printing, and later ones come singly."""
    seen = tmp_path / "seen"

    def stop_printing():
        flood()
        print("the last of the flood")
        deadline = time.monotonic() + 30
        while not seen.exists():
            assert time.monotonic() < deadline
        return sys.stdout.line_buffering

    job = rx_exec(stop_printing, compute_context=context(wait=False, auto_cleanup=False))
    wait_until(lambda: lines_of(store_path)[-1:] == ["the last of the flood"])
    seen.touch()
    rx_wait_for_job(job)
    assert rx_get_job_results(job) == [True]
