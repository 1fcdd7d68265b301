"""The pool of local children: forks them through the zygote, hands them tasks, and tells how they ended.

A seam: another engine would offer the same `Pool` (start, stop, capacity) and `Child` (give, take back).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rxsql.errors import WorkerStartError
from rxsql.worker import wire
from rxsql.worker.capture import Capture, RunConsole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rxsql.models import Task, WorkItem
    from rxsql.settings import Settings

# What a child sees of the worker's environment, besides the names in RXSQL_ENVIRONMENT.
ENVIRONMENT = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SYSTEMROOT"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "CUDA_VISIBLE_DEVICES"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    }
)
_ESCALATION = ((0.0, signal.SIGINT), (0.6, signal.SIGTERM), (1.2, signal.SIGKILL))


@dataclass(slots=True)
class Dispatch:
    """A task that a child has got, and the run it is in."""

    number: int
    task: Task
    runs: deque[int]
    input: bytes
    failed_runs: int = 0
    seconds: float = 0.0
    error: str | None = None
    console: RunConsole | None = None

    @classmethod
    def of(cls, number: int, task: Task, done: set[int], body: bytes) -> Dispatch:
        """Return a task's dispatch, without the runs that are done."""
        runs = deque(run for run in range(task.first_run, task.first_run + task.run_count) if run not in done)
        return cls(number, task, runs, body)

    @property
    def done_runs(self) -> tuple[int, ...]:
        """The task's runs that are not to be run (again)."""
        task = self.task
        waiting = set(self.runs)
        if len(waiting) == task.run_count:
            return ()
        return tuple(
            run for run in range(task.first_run, task.first_run + task.run_count) if run not in waiting
        )

    def next_run(self, seconds: float) -> None:
        """Go on to the next run, after this one took so long."""
        self.runs.popleft()
        self.console = None
        self.seconds += seconds

    def run_console(self) -> RunConsole:
        """Return the console of the run it is in."""
        if self.console is None:
            self.console = RunConsole(self.task.job_key, self.task.task, self.task.attempt, self.runs[0])
        return self.console


class Child:
    """One child process, from the order to fork it until its end is known."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.job_key: int | None = None
        self.ready = False
        self.leaving = False  # gets no more tasks, and retires after those it has begun
        self.in_flight: dict[int, Dispatch] = {}
        self.captures = (Capture(), Capture())
        self.folder = tempfile.mkdtemp(prefix="rxsql-")
        self.sock, self._far_end = wire.pair()
        self.sock.setblocking(False)
        self._stopping_since: float | None = None
        self._signals = deque(_ESCALATION)

    def child_fds(self) -> list[int]:
        """Return what the child gets: its end of the socket, and the two captured streams."""
        return [self._far_end.fileno(), self.captures[0].fd, self.captures[1].fd]

    @property
    def stopping(self) -> bool:
        """Whether it was told to end, or is being made to."""
        return self._stopping_since is not None or self._far_end.fileno() < 0

    def load(self, item: WorkItem) -> None:
        """Bind it to a job, for the rest of its life."""
        self.job_key = item.job_key
        details = {
            "packages_to_load": item.packages_to_load,
            "continue_on_failure": item.continue_on_failure,
            "kind": item.kind,
        }
        wire.send_job(self.sock, json.dumps(details).encode(), item.function, item.shared_input or b"")

    def give(self, dispatch: Dispatch) -> bool:
        """Hand it a task; False when it has enough for now."""
        task = dispatch.task
        message = wire.TaskMessage(
            dispatch.number, task.first_run, task.run_count, dispatch.done_runs, dispatch.input
        )
        try:
            wire.send_task(self.sock, message)
        except BlockingIOError:
            return False
        self.in_flight[dispatch.number] = dispatch
        return True

    def take_back(self) -> list[Dispatch]:
        """Return the tasks it has not begun, the oldest first."""
        taken: list[Dispatch] = []
        while self._far_end.fileno() >= 0:
            try:
                message = wire.receive(self._far_end, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return taken
            if message is None:
                break
            if message.kind == wire.TASK:
                taken.append(self.in_flight.pop(wire.parse_task(message).number))
        return taken

    def messages(self) -> Iterator[wire.Message]:
        """Yield what it has sent."""
        while True:
            try:
                message = wire.receive(self.sock)
            except (BlockingIOError, ConnectionResetError):
                return
            if message is None:
                return
            yield message

    def written(self) -> tuple[int, int]:
        """Return how much it has written to stdout and stderr so far."""
        return self.captures[0].size(), self.captures[1].size()

    def current(self) -> Dispatch | None:
        """Return the task it is in: the oldest it has got and not ended."""
        return next(iter(self.in_flight.values()), None)

    def retire(self) -> None:
        """Let it end by itself: there is nothing more to come."""
        if self.stopping:
            return
        self._far_end.close()
        self.sock.shutdown(socket.SHUT_WR)

    def begin_stop(self) -> None:
        """Make it end, whatever it does."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()

    def due_signal(self, now: float) -> signal.Signals | None:
        """Return the next signal of the escalation once its time has come."""
        if (
            self._stopping_since is None
            or not self._signals
            or now - self._stopping_since < self._signals[0][0]
        ):
            return None
        return self._signals.popleft()[1]

    def close(self) -> None:
        """Give everything back after its end."""
        self.sock.close()
        self._far_end.close()
        for capture in self.captures:
            capture.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Pool:
    """Forks children, and knows those that live."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.children: dict[int, Child] = {}
        self._next = 0
        self._start_zygote()

    def _start_zygote(self) -> None:
        self.control, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-m", "rxsql.worker.zygote", str(far_end.fileno())]
        preload = [name.strip() for name in self._settings.preload.split(",") if name.strip()]
        self._zygote = subprocess.Popen(
            [*command, *preload],
            pass_fds=[far_end.fileno()],
            env=child_environment(self._settings),
            stdin=subprocess.DEVNULL,
        )
        far_end.close()

    def wait_ready(self) -> None:
        """Wait until the zygote has imported what its children need.

        Raises:
            WorkerStartError: It could not; it has said why on stderr.
        """
        try:
            ready = self.control.recv(64)
        except ConnectionResetError:
            ready = b""
        if not ready:
            preload = self._settings.preload or "nothing"
            raise WorkerStartError(
                f"The process that forks children could not start (its traceback stands above; RXSQL_PRELOAD names "
                f"{preload})."
            )

    def start(self) -> Child:
        """Fork a child; it stands by until it is bound to a job."""
        child = Child(self._next)
        self._next += 1
        self.children[child.number] = child
        order = json.dumps({"fork": child.number, "folder": child.folder}).encode()
        socket.send_fds(self.control, [order], child.child_fds())
        return child

    def standby(self) -> list[Child]:
        """Return the children that serve no job yet."""
        return [child for child in self.children.values() if child.job_key is None and not child.stopping]

    def escalate(self) -> None:
        """Send the signals that are due to children that are to end."""
        now = time.monotonic()
        for child in self.children.values():
            number = child.due_signal(now)
            if number is not None:
                self.control.send(json.dumps({"kill": child.number, "signal": int(number)}).encode())

    def notes(self) -> list[dict[str, Any]]:
        """Return what the zygote has told since the last call; it has died when the socket is at its end.

        Raises:
            EOFError: The zygote died, and all children with it.
        """
        notes: list[dict[str, Any]] = []
        while True:
            try:
                packet = self.control.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return notes
            except ConnectionResetError:
                packet = b""
            if not packet:
                if notes:
                    return notes
                raise EOFError
            notes.append(json.loads(packet))

    def restart(self) -> None:
        """Start a new zygote after the old one died, and all children with it."""
        self.children.clear()
        self.control.close()
        self._zygote.wait()
        self._start_zygote()
        self.wait_ready()

    def close(self) -> None:
        """End the zygote, and with it every child."""
        self.control.close()
        self._zygote.wait()
        for child in self.children.values():
            child.close()
        self.children.clear()


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the part of this environment that children may see."""
    named = {name.strip() for name in settings.environment.split(",") if name.strip()}
    return {
        name: value
        for name, value in os.environ.items()
        if name in ENVIRONMENT or name in named or name.startswith(("LC_", "PYTHON"))
    }
