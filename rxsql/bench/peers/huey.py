"""Huey on SQLite: a durable queue, with and without a sync of the disk at each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rxsql.bench.peers.processes import Processes
from rxsql.bench.peers.protocol import PATIENCE_SECONDS, need
from rxsql.bench.work import WORK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_POLL_SECONDS = 0.001  # its default of 0.1 would be all that its latency shows


class Huey:
    """Consumers in processes of their own, and results in the same file."""

    cannot: frozenset[str] = frozenset()
    is_slow = True

    def __init__(self, *, fsync: bool) -> None:
        self.name = "Huey with fsync" if fsync else "Huey without fsync"
        self._fsync = fsync
        self._processes = Processes()

    def start(self, children: int, folder: Path) -> None:
        """Start the consumers."""
        need("huey")
        path = folder / "huey.db"
        self._tasks = tasks_of(str(path), fsync=self._fsync)
        options = [
            "-k",
            "process",
            "-w",
            str(children),
            "-d",
            str(_POLL_SECONDS),
            "-m",
            str(_POLL_SECONDS),
            "-q",
        ]
        environment = {"RXSQL_BENCH_HUEY": str(path), "RXSQL_BENCH_HUEY_FSYNC": "1" if self._fsync else ""}
        command = ["-m", "huey.bin.huey_consumer", "rxsql.bench.peers.hueyapp.huey", *options]
        self._processes.start_python(command, folder, environment)

    def run(self, work: str, arguments: Sequence[Any]) -> list[Any]:
        """Enqueue each, get each."""
        task = self._tasks[work]
        handles = [task(argument) for argument in arguments]
        options = {"blocking": True, "backoff": 1.0, "max_delay": _POLL_SECONDS, "timeout": PATIENCE_SECONDS}
        return [handle.get(**options) for handle in handles]

    def stop(self) -> None:
        """End the consumers."""
        self._processes.stop()


def tasks_of(path: str, *, fsync: bool) -> dict[str, Any]:
    """Return the functions as tasks of the queue in a file."""
    # A result of None would not be stored: the functions return what they got.
    queue = need("huey").SqliteHuey("bench", filename=path, fsync=fsync)
    return {name: queue.task()(function) for name, function in WORK.items()}
