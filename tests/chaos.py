"""Chaos for the fault campaign: kills, stops and disconnects workers at random, and replaces those that ended."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from rxsql.store.engine import Store

LEASE_SECONDS = 1.0


class Chaos:
    """Several workers on a store, and all that can happen to them.

    Args:
        store: The store they work for.
        folder: Where they have their temporary folders and logs.
        seed: Of the random choices: what happens, to which of them, and for how long.
        workers: How many workers there are at any time.
    """

    def __init__(self, store: Store, folder: Path, seed: int, *, workers: int) -> None:
        self.store = store
        self.counts: Counter[str] = Counter()
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self._logs = folder
        self._random = random.Random(seed)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._stopped: list[tuple[float, Callable[[], None]]] = []  # when they go on, and how
        for _ in range(workers):
            self._start()

    def _start(self) -> None:
        with (self._logs / f"worker-{self.counts['workers started']}.log").open("wb") as log:
            environment = {
                **os.environ,
                "RXSQL_STORE": self.store.url,
                "RXSQL_LEASE_SECONDS": str(LEASE_SECONDS),
                "RXSQL_BUSY_TIMEOUT_SECONDS": "0.5" if self.store.dialect.embedded else "10",
                "RXSQL_SLOTS": "2",
                "TMPDIR": str(self.temporary),
            }
            command = [sys.executable, "-m", "rxsql.worker"]
            self._workers.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            )
        self.counts["workers started"] += 1

    # ------------------------------------------------------------------------------------------ what happens

    def strike(self) -> None:
        """Let one thing happen, let those go on whose time has come, and replace workers that have ended."""
        happenings = {
            self._kill_child: 12,
            self._kill_zygote: 2,
            self._kill_worker: 1,
            self._kill_group: 1,
            self._terminate_worker: 1,
            self._stop_child: 5,
            self._stop_zygote: 1,
            self._stop_worker: 2,
            self._trouble_store: 2,
        }
        (happening,) = self._random.choices(list(happenings), list(happenings.values()))
        with suppress(psutil.Error, ProcessLookupError):
            happening()
        self._let_go_on(time.monotonic())
        self.replace_ended()

    def replace_ended(self) -> None:
        """Start a worker for each that has ended, as a service manager would."""
        for worker in list(self._workers):
            if worker.poll() is not None:
                self._workers.remove(worker)
                self.counts[f"workers that ended ({worker.returncode})"] += 1
                self._start()

    def _let_go_on(self, now: float) -> None:
        for due, go_on in list(self._stopped):
            if now >= due:
                self._stopped.remove((due, go_on))
                with suppress(psutil.Error):
                    go_on()

    def _worker(self) -> psutil.Process:
        return psutil.Process(self._random.choice(self._workers).pid)

    def _zygote(self) -> psutil.Process | None:
        return self._one_of(self._worker().children())

    def _child(self) -> psutil.Process | None:
        zygote = self._zygote()
        return zygote and self._one_of(zygote.children())

    def _one_of(self, processes: list[psutil.Process]) -> psutil.Process | None:
        return self._random.choice(processes) if processes else None

    def _kill(self, process: psutil.Process | None, what: str) -> None:
        if process is not None:
            process.kill()
            self.counts[f"killed {what}"] += 1

    def _kill_child(self) -> None:
        self._kill(self._child(), "children")

    def _kill_zygote(self) -> None:
        self._kill(self._zygote(), "zygotes")

    def _kill_worker(self) -> None:
        self._kill(self._worker(), "workers")

    def _kill_group(self) -> None:
        """The worker's whole group at once, and its children's groups, so that nobody is left to clean up."""
        worker = self._worker()
        family = worker.children(recursive=True)
        os.killpg(worker.pid, signal.SIGKILL)
        for process in family:
            with suppress(psutil.Error):
                process.kill()
        self.counts["killed groups"] += 1

    def _terminate_worker(self) -> None:
        worker = self._worker()
        worker.terminate()
        if self._random.random() < 0.5:
            worker.send_signal(signal.SIGINT)
        self.counts["terminated workers"] += 1

    def _stop(self, process: psutil.Process | None, what: str, longest: float) -> None:
        if process is not None:
            process.suspend()
            self._stopped.append((time.monotonic() + self._random.uniform(0, longest), process.resume))
            self.counts[f"stopped {what}"] += 1

    def _stop_child(self) -> None:
        self._stop(self._child(), "children", LEASE_SECONDS)

    def _stop_zygote(self) -> None:
        self._stop(self._zygote(), "zygotes", LEASE_SECONDS)

    def _stop_worker(self) -> None:
        self._stop(self._worker(), "workers", 2.5 * LEASE_SECONDS)

    def _trouble_store(self) -> None:
        if self.store.dialect.embedded:
            self._lock_file()
        else:
            self._end_connections()

    def _lock_file(self) -> None:
        connection = sqlite3.connect(sa.make_url(self.store.url).database, timeout=0.1, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(self._random.uniform(0, 1))  # while others wait for the lock, and give up
            connection.execute("ROLLBACK")
            self.counts["locked the store"] += 1
        except sqlite3.OperationalError:
            pass  # a worker that was stopped has the lock
        finally:
            connection.close()

    def _end_connections(self) -> None:
        with self.store.read() as connection:
            found = connection.scalars(self._sessions()).all()
            for session in self._random.sample(sorted(found), min(2, len(found))):
                with suppress(sa.exc.DBAPIError):
                    connection.exec_driver_sql(self._end_session(session))
                    self.counts["ended connections"] += 1

    def _sessions(self) -> Any:
        if self.store.dialect.name == "postgresql":
            return sa.text(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        return sa.text(
            "SELECT session_id FROM sys.dm_exec_sessions WHERE is_user_process = 1 AND session_id <> @@SPID"
            " AND database_id = DB_ID()"
        )

    def _end_session(self, session: int) -> str:
        return (
            f"SELECT pg_terminate_backend({session})"
            if self.store.dialect.name == "postgresql"
            else f"KILL {session}"
        )

    # ------------------------------------------------------------------------------------------------ the end

    def calm(self) -> None:
        """Let everything go on."""
        self._let_go_on(float("inf"))

    def close(self) -> None:
        """End the workers as a person would: with two signals."""
        self._let_go_on(float("inf"))
        for worker in self._workers:
            for number in (signal.SIGTERM, signal.SIGINT):
                if worker.poll() is None:
                    worker.send_signal(number)
        for worker in self._workers:
            try:
                worker.wait(timeout=20)
            except subprocess.TimeoutExpired:
                worker.kill()
                raise

    def strays(self) -> list[psutil.Process]:
        """Return what still lives of all that ever ran here, known by its temporary folder."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("TMPDIR", "").startswith(str(self.temporary)):
                    found.append(process)
        return found
