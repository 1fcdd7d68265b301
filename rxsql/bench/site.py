"""Where rxsql is measured: a store, and a worker that is started for the measurement and ended with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import psutil

from rxsql import RxInSqlServer, rx_exec
from rxsql.bench.counting import read as read_count
from rxsql.bench.work import as_users
from rxsql.errors import WorkerStartError
from rxsql.store.engine import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


class Site:
    """A store with one worker.

    Args:
        store: The store's name.
        children: How many child processes the worker runs.
        folder: A folder for what the worker says.
        counting: Whether the worker counts its statements.
    """

    def __init__(self, store: str, children: int, folder: Path, *, counting: bool = False) -> None:
        self.store: Store = open_store(store)
        self.context = RxInSqlServer(store, num_tasks=0)
        self.children = children
        self._counts = folder / "statements" if counting else None
        self._log = folder / "worker.log"

    def __enter__(self) -> Self:
        reader, writer = os.pipe()
        try:
            self._worker = self._started(writer)
            try:
                self._await_ready(reader)
            except BaseException:  # a Ctrl-C too must not leave a worker
                self._end()
                raise
        finally:
            os.close(reader)  # a worker whose start was interrupted hears by it that nobody knows of it
        return self

    def _started(self, writer: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "rxsql.worker", "--ready-fd", str(writer)]
        if self._counts is not None:
            command = [sys.executable, "-P", "-m", "rxsql.bench.counting", str(self._counts), str(writer)]
        try:
            with self._log.open("wb") as log:
                return subprocess.Popen(
                    command,
                    env={**os.environ, "RXSQL_STORE": self.store.url, "RXSQL_SLOTS": str(self.children)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[writer],
                    start_new_session=True,
                )
        finally:
            os.close(writer)

    def _await_ready(self, reader: int) -> None:
        if not select.select([reader], [], [], _START_SECONDS)[0] or os.read(reader, 64) != b"ready":
            said = self._log.read_text(errors="replace").strip()
            raise WorkerStartError(f"The worker could not be started: {said}")

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        """Let the worker end what it has begun; when that takes too long, end it with all its processes."""
        self._worker.send_signal(signal.SIGTERM)
        try:
            self._worker.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._worker.send_signal(signal.SIGINT)  # the second signal: now
            self._worker.wait()

    def run(self, function: Callable[..., Any], **arguments: Any) -> list[Any]:
        """Run a function of `rxsql.bench.work` as a script would; return its results."""
        results: list[Any] = rx_exec(as_users(function), compute_context=self.context, **arguments)
        return results

    def statements(self) -> int:
        """Return how many statements the worker has sent since its start, where it counts them."""
        return 0 if self._counts is None else read_count(self._counts)

    def supervising(self) -> list[psutil.Process]:
        """Return the worker's processes besides its children: supervisor and zygote."""
        supervisor = psutil.Process(self._worker.pid)
        return [supervisor, *supervisor.children()]

    def everything(self) -> list[psutil.Process]:
        """Return all the worker's processes."""
        supervisor = psutil.Process(self._worker.pid)
        return [supervisor, *supervisor.children(recursive=True)]


def megabytes(processes: list[psutil.Process]) -> float:
    """Return the memory of processes; what they share is counted once, where the system can tell."""
    return sum(getattr(p.memory_full_info(), "pss", 0) or p.memory_info().rss for p in processes) / 1e6
