"""Celery with Redis as broker and as store of results."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from rxsql.bench.peers.processes import Processes
from rxsql.bench.peers.protocol import PATIENCE_SECONDS, PeerMissingError, need
from rxsql.bench.work import WORK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Celery:
    """A Redis server and prefork workers of its own, on a socket in a folder."""

    name = "Celery"
    cannot: frozenset[str] = frozenset()
    is_slow = True

    def __init__(self) -> None:
        self._processes = Processes()

    def start(self, children: int, folder: Path) -> None:
        """Start Redis and the workers."""
        need("celery")
        need("redis")
        server = shutil.which("redis-server")
        if server is None:
            raise PeerMissingError("redis-server is not installed")
        path = str(folder / "redis.sock")
        self._processes.start([server, "--port", "0", "--unixsocket", path, "--save", ""], folder)
        self._tasks = tasks_of(path)
        options = [
            "-c",
            str(children),
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "-l",
            "ERROR",
        ]
        command = ["-m", "celery", "-A", "rxsql.bench.peers.celeryapp", "worker", *options]
        self._processes.start_python(command, folder, {"RXSQL_BENCH_REDIS": path, "C_FORCE_ROOT": "1"})

    def run(self, work: str, arguments: Sequence[Any]) -> list[Any]:
        """Send each, get each."""
        task = self._tasks[work]
        handles = [task.delay(argument) for argument in arguments]
        return [handle.get(timeout=PATIENCE_SECONDS) for handle in handles]

    def stop(self) -> None:
        """End workers and Redis."""
        self._processes.stop()


def tasks_of(path: str) -> dict[str, Any]:
    """Return the functions as tasks of an app on the Redis behind a socket."""
    app = need("celery").Celery("bench", broker=f"redis+socket://{path}", backend=f"redis+socket://{path}")
    app.conf.update(task_serializer="pickle", result_serializer="pickle", accept_content=["pickle"])
    return {name: app.task(name=name)(function) for name, function in WORK.items()}
