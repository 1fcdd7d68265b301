"""Starts a worker for an embedded store when none is alive; servers have theirs."""

from __future__ import annotations

import atexit
import math
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rxsql.errors import WorkerStartError
from rxsql.payload import PYTHON
from rxsql.store import workers

if TYPE_CHECKING:
    from rxsql.store.engine import Store

START_SECONDS = 60.0
_LOG_TAIL = 2000
_lock = threading.Lock()
_started: list[subprocess.Popen[bytes]] = []
_seen: dict[str, float] = {}  # when each store's worker was last seen alive


@atexit.register
def _let_go() -> None:
    """Part from the workers: they outlive this process on purpose, and need no warning for it."""
    for process in _started:
        process.returncode = process.poll() or 0


def ensure_worker(store: Store, *, unless_seen_seconds: float = 0.0) -> None:
    """Make sure that a worker of this Python version is alive, where the store is embedded.

    Args:
        store: Where.
        unless_seen_seconds: For how long it is enough to have seen one alive.

    Raises:
        WorkerStartError: It could not be started; the message has its last words.
    """
    if not store.dialect.embedded:
        return
    with _lock:
        if time.monotonic() - _seen.get(store.label, -math.inf) < unless_seen_seconds:
            return
        # A worker of ours that has ended is a zombie until it is asked for, and would look alive.
        _started[:] = [process for process in _started if process.poll() is None]
        if not workers.has_live_worker(store, PYTHON):
            _start(store)
        _seen[store.label] = time.monotonic()


def _start(store: Store) -> None:
    log = Path(f"{store.label}-worker.log")
    reader, writer = os.pipe()
    command = [sys.executable, "-P", "-m", "rxsql.worker", "--exit-when-idle", "--ready-fd", str(writer)]
    try:
        with log.open("ab") as output:
            begin = output.tell()
            process = subprocess.Popen(
                command,
                env={**os.environ, "RXSQL_STORE": store.url},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[writer],
                cwd=log.parent,
                start_new_session=True,
            )
    except OSError as error:
        os.close(reader)
        os.close(writer)
        raise WorkerStartError(
            f"The worker could not be started: {error}. Start one by hand: rxsql worker --store {store.label}"
        ) from error
    os.close(writer)
    _started.append(process)
    try:
        said = _listen(reader)
    finally:
        os.close(reader)
    if said != b"ready":
        process.kill()
        process.wait()
        with log.open("rb") as written:
            written.seek(begin)
            reason = written.read()[-_LOG_TAIL:].decode(errors="replace").strip() or "it said nothing"
        raise WorkerStartError(
            f"The worker for {store.label} could not be started: {reason}\n"
            f"Start one by hand to see more: rxsql worker --store {store.label}"
        )


def _listen(reader: int) -> bytes:
    deadline = time.monotonic() + START_SECONDS
    said = b""
    while said != b"ready" and select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(reader, 64)
        if not part:
            break
        said += part
    return said
