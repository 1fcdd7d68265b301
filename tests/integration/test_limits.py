"""Limits on what a job may take, and the black box of a process that died in one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import wait_until
from support import rows_of, scalar

from rxsql import rx_cleanup_jobs, rx_exec, rx_get_job_output, rx_get_job_results, rx_wait_for_job
from rxsql.errors import FailedRunsWarning, JobFailedError, LimitError
from rxsql.store.crashes import fetch_crashes
from rxsql.store.engine import open_store
from rxsql.store.jobs import get_job


def crashes_of(store_path, job):
    store = open_store(str(store_path))
    return fetch_crashes(store, get_job(store, job.job_id).job_key, limit=100)


def status_of(store_path, job):
    """What `rxsql status` shows, as text and as JSON."""
    command = [sys.executable, "-m", "rxsql.cli", "status", job.job_id, "--store", str(store_path)]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    shown = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False).stdout
    return text, json.loads(shown)


# ------------------------------------------------------------------------------------------------ black box


def test_exit_code_of_a_died_child(context, store_path, monkeypatch):
    """What a child exited with, what it had said last and how much memory it took are rows, one an attempt."""

    def leave():
        import os

        print("going")
        print("gone")
        os._exit(3)

    monkeypatch.setenv("RXSQL_MAX_ATTEMPTS", "2")
    job = rx_exec(leave, compute_context=context(wait=False))
    rx_wait_for_job(job)
    first, second = crashes_of(store_path, job)
    assert (first.attempt, second.attempt) == (1, 2)
    assert (second.run, second.exit_code, second.exit_signal) == (0, 3, None)
    assert second.last_lines == "going\ngone"
    assert second.peak_kib > 1000
    error = scalar(open_store(str(store_path)), "SELECT error FROM jobs")
    assert "exit code 3 (attempt 2 of 2). Its last console lines:\n    going\n    gone" in error
    text, shown = status_of(store_path, job)
    assert "run 0, attempt 2: exit code 3, took" in text
    assert [crash["exit_code"] for crash in shown["crashes"]] == [3, 3]
    view = "SELECT job_id, exit_code, last_lines FROM crashes WHERE attempt = 2"
    assert rows_of(open_store(str(store_path)), view) == [(job.job_id, 3, "going\ngone")]


def test_stacks_of_a_segfault(context, store_path, monkeypatch):
    """The Python stack at the moment of a crash in C code is kept, and shown by `rxsql status`."""

    def step_into_nothing():
        import ctypes

        ctypes.string_at(0)

    monkeypatch.setenv("RXSQL_MAX_ATTEMPTS", "1")
    job = rx_exec(step_into_nothing, compute_context=context(wait=False))
    rx_wait_for_job(job)
    (crash,) = crashes_of(store_path, job)
    assert crash.exit_signal == "SIGSEGV"
    assert "in step_into_nothing" in crash.stacks
    text, _ = status_of(store_path, job)
    assert "signal SIGSEGV" in text
    assert "in step_into_nothing" in text


def test_stacks_of_a_run_whose_time_was_up(context, store_path):
    """Who was ended at the time limit has told where it was, though it would not listen to an interrupt."""

    def never_ends():
        while True:
            try:
                while True:
                    sum(range(1000))
            except KeyboardInterrupt:
                print("no")

    job = rx_exec(never_ends, compute_context=context(wait=False, execution_timeout_seconds=1))
    rx_wait_for_job(job)
    store = open_store(str(store_path))
    assert "execution_timeout_seconds of 1 s" in scalar(store, "SELECT error FROM jobs")
    wait_until(lambda: crashes_of(store_path, job))  # its end comes a little after the job's
    (crash,) = crashes_of(store_path, job)
    assert crash.exit_signal == "SIGTERM"
    assert "in never_ends" in crash.stacks


def test_cleanup_takes_the_crashes_too(context, store_path, monkeypatch):
    """A job that was cleaned up leaves no crash behind."""
    monkeypatch.setenv("RXSQL_MAX_ATTEMPTS", "1")
    job = rx_exec(lambda: __import__("os")._exit(1), compute_context=context(wait=False))
    rx_wait_for_job(job)
    assert crashes_of(store_path, job)
    rx_cleanup_jobs(job, force=True, verbose=False)
    assert scalar(open_store(str(store_path)), "SELECT COUNT(*) FROM crash_rows") == 0


# --------------------------------------------------------------------------------------------------- limits


def test_memory(context, monkeypatch):
    """A run that takes more memory than a child may fails with the limit's name and value, and the others go on."""

    def take(megabytes):
        return len(bytearray(megabytes << 20)) >> 20

    monkeypatch.setenv("RXSQL_MEMORY_MB", "400")
    with pytest.warns(FailedRunsWarning):
        small, large, again = rx_exec(take, megabytes=[1, 1000, 2], compute_context=context(num_tasks=1))
    assert (small, again) == (1, 2)
    assert isinstance(large, MemoryError)
    with pytest.raises(JobFailedError, match="the limit RXSQL_MEMORY_MB is 400 MB"):
        rx_exec(take, megabytes=1000, compute_context=context())


def test_memory_that_c_code_wants(context, monkeypatch, store_path):
    """A child that dies because it may not have more memory is told from one that dies by itself."""

    def take_and_abort():
        import os

        kept = []
        try:
            while True:
                kept.append(bytearray(1 << 20))
        except MemoryError:
            os.abort()

    monkeypatch.setenv("RXSQL_MEMORY_MB", "300")
    monkeypatch.setenv("RXSQL_MAX_ATTEMPTS", "1")
    with pytest.raises(JobFailedError, match="SIGABRT, probably at the limit RXSQL_MEMORY_MB of 300 MB"):
        rx_exec(take_and_abort, compute_context=context())


def test_console_keeps_head_and_tail(context, monkeypatch):
    """Of too much output the beginning and the end are kept, and a line tells what is missing between them."""

    def flood():
        for number in range(20_000):
            print(f"line {number:06}")  # 12 bytes
        return "done"

    monkeypatch.setenv("RXSQL_CONSOLE_BYTES", "48000")
    job = rx_exec(flood, compute_context=context(wait=False))
    rx_wait_for_job(job)
    lines = rx_get_job_output(job).splitlines()
    (mark,) = [place for place, line in enumerate(lines) if not line.startswith("line ")]
    head, tail = lines[:mark], lines[mark + 1 :]
    assert [int(line[5:]) for line in head] == list(range(len(head)))
    assert [int(line[5:]) for line in tail] == list(range(20_000 - len(tail), 20_000))
    left_out = 12 * (20_000 - len(head) - len(tail))
    assert lines[mark] == f"[rxsql left out {left_out:,} bytes here: the limit RXSQL_CONSOLE_BYTES is 48,000]"
    assert 36_000 < 12 * (len(head) + len(tail)) <= 48_000
    assert rx_get_job_results(job) == ["done"]


def test_console_of_a_chunk_counts_together(context, monkeypatch):
    """The limit is one of a task: its runs share it, and each run that had to be cut says so."""

    def flood(number):
        print("x" * 50_000)
        return number

    monkeypatch.setenv("RXSQL_CONSOLE_BYTES", "60000")
    job = rx_exec(flood, number=list(range(5)), task_chunk_size=5, compute_context=context(wait=False))
    rx_wait_for_job(job)
    output = rx_get_job_output(job)
    assert output.count("x") <= 60_000
    assert output.count("RXSQL_CONSOLE_BYTES") == 4  # the first one fits
    assert rx_get_job_results(job) == list(range(5))


def test_result_that_is_too_large(context, monkeypatch):
    """A result over the limit fails its run alone."""
    monkeypatch.setenv("RXSQL_PAYLOAD_MB", "1")
    with pytest.warns(FailedRunsWarning):
        small, large = rx_exec(
            lambda size: __import__("os").urandom(size), size=[10, 2 << 20], compute_context=context()
        )
    assert len(small) == 10
    assert isinstance(large, LimitError)
    assert str(large) == "The result of run 1 takes 2.0 MB, more than the limit RXSQL_PAYLOAD_MB of 1 MB."


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"x": [b"", bytes(range(256)) * 8192]}, "The input of run 1"),
        ({"x": [b"", bytes(range(256)) * 8192], "task_chunk_size": 2}, "The input of the 2 runs from 0"),
        ({"y": bytes(range(256)) * 8192}, "What all runs share"),
    ],
    ids=["input", "chunk", "shared"],
)
def test_input_that_is_too_large(context, monkeypatch, store_path, arguments, what):
    """Input over the limit is refused before anything is stored."""
    import random

    monkeypatch.setenv("RXSQL_PAYLOAD_MB", "1")
    noise = random.Random(1).randbytes(2 << 20)
    wide = {
        name: [b"", noise] if isinstance(value, list) else noise if name == "y" else value
        for name, value in arguments.items()
    }
    with pytest.raises(
        LimitError, match=f"{what} takes 2.0 MB, more than the limit RXSQL_PAYLOAD_MB of 1 MB"
    ):
        rx_exec(lambda **given: None, compute_context=context(), **wide)
    assert scalar(open_store(str(store_path)), "SELECT COUNT(*) FROM jobs") == 0


def test_too_many_runs(context, monkeypatch, store_path):
    """A job of more runs than the setting allows is refused before anything is stored."""
    monkeypatch.setenv("RXSQL_MAX_RUNS", "10")
    with pytest.raises(LimitError, match="The job has 11 runs, more than the limit RXSQL_MAX_RUNS of 10"):
        rx_exec(lambda x: x, x=list(range(11)), compute_context=context())
    assert rx_exec(lambda x: x, x=list(range(10)), compute_context=context()) == list(range(10))


# ---------------------------------------------------------------------------------------------------- blame


def test_task_that_kills_its_worker_is_blamed_alone(context, store_path, monkeypatch):
    """A task that kills the whole worker each time fails; tasks that were only claimed with it do not."""

    def kill_worker(number):
        import os

        import psutil

        if number == 30:
            psutil.Process(os.getppid()).parent().kill()
            os.kill(os.getpid(), 19)
        return number

    monkeypatch.setenv("RXSQL_SLOTS", "1")
    with pytest.warns(FailedRunsWarning):
        results = rx_exec(kill_worker, number=list(range(60)), compute_context=context())
    failed = [number for number, result in enumerate(results) if result != number]
    assert failed == [30]
    assert "died while it ran this task" in str(results[30])
