"""`python -m rxsql.worker`: the worker as a process; the store and its settings come from the environment."""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from rxsql.errors import RxSqlError
from rxsql.settings import Settings
from rxsql.worker import isolation
from rxsql.worker.pool import Pool


def main(arguments: list[str] | None = None) -> int:
    """Run a worker; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rxsql.worker", description=__doc__)
    parser.add_argument(
        "--exit-when-idle", action="store_true", help="end after RXSQL_IDLE_EXIT_SECONDS without work"
    )
    parser.add_argument("--ready-fd", type=int, help="descriptor that is told 'ready', or the reason why not")
    options = parser.parse_args(arguments)
    return run(Settings.from_environment(), exit_when_idle=options.exit_when_idle, ready_fd=options.ready_fd)


def run(settings: Settings, *, exit_when_idle: bool = False, ready_fd: int | None = None) -> int:
    """Run a worker on the store that the settings name; return the exit code."""
    isolation.hide()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)  # until the supervisor listens
    pool = Pool(settings)  # first: the zygote starts while the store's libraries are imported
    # Who waits for an answer gets one; a worker that would end when idle does not wait for longer than that.
    patience = 0.0 if ready_fd is not None else settings.idle_exit_seconds if exit_when_idle else math.inf
    try:
        from rxsql.store.engine import open_store  # noqa: PLC0415
        from rxsql.store.retry import insist  # noqa: PLC0415
        from rxsql.worker.supervisor import Supervisor  # noqa: PLC0415

        def start() -> Supervisor:
            _leave_if_told()
            store = open_store(settings.store or None)
            return Supervisor(store, settings, pool, exit_when_idle=exit_when_idle)

        pool.wait_ready()
        supervisor = insist(start, seconds=patience)
        supervisor.listen()  # before anybody is told that it is ready: they may send signals
        _leave_if_told()
    except BaseException as error:
        pool.close()
        _leave_if_told()
        if not isinstance(error, RxSqlError):
            raise
        print(f"rxsql worker: {error}", file=sys.stderr)  # noqa: T201
        return 1
    if ready_fd is not None and not _tell(ready_fd) and not exit_when_idle:
        supervisor.stop()  # who started it is gone, and nobody else knows of it
    supervisor.run()
    return 0


def _tell(ready_fd: int) -> bool:
    """Say that the worker is ready; whether anybody is there to hear it."""
    with suppress(OSError):
        os.write(ready_fd, b"ready")
        os.close(ready_fd)
        return True
    return False


_told: list[int] = []  # the signal that came before the supervisor listened


def _leave(number: int, _frame: object) -> NoReturn:
    for other in (signal.SIGINT, signal.SIGTERM):
        # A second one must not disturb the cleaning up; SIG_IGN would complain of one that is on its way.
        signal.signal(other, lambda *_: None)
    _told.append(number)
    raise SystemExit(128 + number)


def _leave_if_told() -> None:
    """Leave also where a library that was interrupted in the midst of its work made something else of it."""
    if _told:
        raise SystemExit(128 + _told[0]) from None


if __name__ == "__main__":
    sys.exit(main())
