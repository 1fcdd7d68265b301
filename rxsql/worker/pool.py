"""The pool of local children: forks them through the zygote, hands them tasks, and tells how they ended.

A seam: another engine would offer the same `Pool` (start, stop, capacity) and `Child` (give, take back).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from rxsql.errors import WorkerStartError
from rxsql.worker import isolation, wire
from rxsql.worker.capture import Capture, new_file
from rxsql.worker.exits import Exit
from rxsql.worker.folders import WorkerFolder, remove

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rxsql.models import WorkItem
    from rxsql.settings import Settings
    from rxsql.worker.dispatch import Dispatch

_STACK_BYTES = 16_384
_STARTS = 5  # attempts to start another zygote
_END_SECONDS = 5.0  # for the zygote to end with its children
_LOOK_SECONDS = 0.2  # between looks after the zygote
_ESCALATION = ((0.0, signal.SIGINT), (0.6, signal.SIGTERM), (1.2, signal.SIGKILL))


class Child:
    """One child process, from the order to fork it until its end is known."""

    def __init__(self, number: int, folder: str) -> None:
        self.number = number
        self.folder = folder
        self.job_key: int | None = None
        self.has_loaded = False  # its job, as its first outcome tells
        self.in_flight: dict[int, Dispatch] = {}
        self.captures = (Capture(), Capture())
        self._stacks = new_file("rxsql-stacks")
        self.victim: Dispatch | None = None  # what it was in when its time was up
        self.sock, self._far_end = wire.pair()
        self.sock.setblocking(False)
        self._stopping_since: float | None = None
        self._signals = deque(_ESCALATION)

    def child_fds(self) -> list[int]:
        """Return what the child gets: its end of the socket, the two captured streams, a file for its last words."""
        return [self._far_end.fileno(), self.captures[0].fd, self.captures[1].fd, self._stacks]

    @property
    def stopping(self) -> bool:
        """Whether it was told to end, or is being made to."""
        return self._stopping_since is not None or self._far_end.fileno() < 0

    def load(self, item: WorkItem, settings: Settings) -> None:
        """Bind it to a job, for the rest of its life."""
        self.job_key = item.job_key
        message = wire.JobMessage(
            function=item.function,
            shared_input=item.shared_input or b"",
            kind=item.kind.value,
            packages=item.packages_to_load,
            continue_on_failure=item.continue_on_failure,
            memory_mb=settings.memory_mb,
            payload_mb=settings.payload_mb,
        )
        wire.send_job(self.sock, message)

    def give(self, dispatch: Dispatch) -> bool:
        """Hand it a task; False when it has enough for now."""
        task = dispatch.task
        message = wire.TaskMessage(dispatch.number, task.first_run, task.run_count, dispatch.done_runs)
        try:
            wire.send_task(self.sock, message, dispatch.input)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):  # user code has shut the socket down
            self.begin_stop()
            return False
        self.in_flight[dispatch.number] = dispatch
        return True

    def take_back(self) -> list[Dispatch]:
        """Return the tasks it has not begun, the oldest first."""
        taken: list[Dispatch] = []
        # The job itself may still wait for a child that is just starting.
        while self._far_end.fileno() >= 0 and wire.next_kind(self._far_end) == wire.TASK:
            try:
                message = wire.receive(self._far_end, socket.MSG_DONTWAIT)
            except BlockingIOError:  # the child was quicker
                break
            dispatch = self.in_flight.pop(wire.parse_task(message).number, None) if message else None
            if dispatch is not None:  # else user code has forged its outcome
                taken.append(dispatch)
        return taken

    def messages(self) -> Iterator[wire.Message]:
        """Yield what it has sent.

        Raises:
            OSError: There is nothing more to come, or what came is none of our messages.
        """
        while True:
            try:
                message = wire.receive(self.sock)
            except (BlockingIOError, ConnectionResetError):
                return
            if message is None:
                raise ConnectionAbortedError("the socket was shut down")
            yield message

    def written(self) -> tuple[int, int]:
        """Return how much it has written to stdout and stderr so far."""
        return self.captures[0].size(), self.captures[1].size()

    def written_up_to(self, stdout_end: int, stderr_end: int) -> tuple[int, int]:
        """Return these positions in stdout and stderr, as far as there is so much: a child may say anything."""
        stdout, stderr = self.written()
        return min(stdout_end, stdout), min(stderr_end, stderr)

    @property
    def positions(self) -> tuple[int, int]:
        """How much of its stdout and stderr has been read."""
        return self.captures[0].position, self.captures[1].position

    def stacks(self) -> str | None:
        """Return where its Python threads were when it died, if it could still tell."""
        return os.pread(self._stacks, _STACK_BYTES, 0).decode(errors="replace") or None

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
        os.close(self._stacks)


class Pool:
    """Forks children, and knows those that live."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.children: dict[int, Child] = {}
        self._next = 0
        self._look_due = 0.0
        self._folder = WorkerFolder()
        self._start_zygote()

    def _start_zygote(self) -> None:
        self.control, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-m", "rxsql.worker.zygote", str(far_end.fileno())]
        preload = [name.strip() for name in self._settings.preload.split(",") if name.strip()]
        self._zygote = subprocess.Popen(
            [*command, *preload],
            pass_fds=[far_end.fileno()],
            env=isolation.child_environment(self._settings),
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
            how = Exit(self._zygote.wait()).describe()
            raise WorkerStartError(
                f"The process that forks children ended as it started ({how}). What it said, if anything, stands "
                f"above; RXSQL_PRELOAD names {self._settings.preload or 'nothing'}."
            )

    def start(self) -> Child:
        """Fork a child; it stands by until it is bound to a job."""
        child = Child(self._next, self._folder.for_child(self._next))
        self._next += 1
        self.children[child.number] = child
        order = os.fsencode(f"fork {child.number} {child.folder}")
        with suppress(OSError):  # the zygote has died: that is told soon, and all children end with it
            socket.send_fds(self.control, [order], child.child_fds())
        return child

    def standby(self) -> list[Child]:
        """Return the children that serve no job yet."""
        return [child for child in self.children.values() if child.job_key is None and not child.stopping]

    def escalate(self) -> None:
        """Send the signals that are due to children that are to end; by a zygote that can."""
        now = time.monotonic()
        if now >= self._look_due:
            self._look_due = now + _LOOK_SECONDS
            self._keep_going()
        for child in self.children.values():
            number = child.due_signal(now)
            if number is not None:
                with suppress(OSError):  # as above
                    self.control.send(f"kill {child.number} {int(number)}".encode())

    def _keep_going(self) -> None:
        """Let the zygote go on where somebody has stopped it, as user code can: nothing begins or ends without it."""
        with suppress(ChildProcessError, ProcessLookupError):  # it has died: that is told soon
            if os.waitid(os.P_PID, self._zygote.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None:
                os.kill(self._zygote.pid, signal.SIGCONT)

    def ended(self) -> list[tuple[int, Exit]]:
        """Return the numbers of the children that have ended since the last call, and how they did.

        Raises:
            EOFError: The zygote died, and all children with it.
        """
        found: list[tuple[int, Exit]] = []
        while True:
            try:
                packet = self.control.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            except ConnectionResetError:
                packet = b""
            if not packet:
                if found:
                    return found
                raise EOFError
            number, code, peak_kib = map(int, packet.split())
            found.append((number, Exit(code, peak_kib)))

    def restart(self) -> None:
        """Start a new zygote after the old one died, and all children with it."""
        for child in self.children.values():
            remove(child.folder)  # the zygote did not come to that
        self.children.clear()
        for left in reversed(range(_STARTS)):
            self.control.close()
            self._zygote.wait()
            self._start_zygote()
            try:
                self.wait_ready()
            except WorkerStartError:
                if not left:
                    raise
            else:
                return

    def close(self) -> None:
        """End the zygote, and with it every child."""
        self.control.close()
        try:
            self._zygote.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:  # somebody stopped it
            self._zygote.kill()
            self._zygote.wait()
        for child in self.children.values():
            child.close()
        self.children.clear()
        self._folder.close()
