"""The zygote: a small single-threaded process that forks children, signals them, and tells how they ended.

Only what is safe to fork is imported here, once for all children. It is told what to do over a socket: to `fork` a
child with a number, a folder and file descriptors, or to `kill` one with a signal. It tells the number, exit code and
peak memory in KiB of those that have ended, and ends with everything it forked when the socket closes.
"""

from __future__ import annotations

from rxsql.worker import forkhooks

with forkhooks.withheld():  # this process has one thread; before anything else imports them
    import logging  # noqa: F401
    import threading

import ctypes
import faulthandler
import gc
import importlib
import os
import select
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rxsql import revoscalepy
from rxsql.worker import child
from rxsql.worker.floodgate import Floodgate
from rxsql.worker.folders import remove
from rxsql.worker.giveway import give_way, keep_to, keep_to_half, processors_of
from rxsql.worker.streams import Streams, lent

if TYPE_CHECKING:
    from collections.abc import Collection

_LIBC = ctypes.CDLL(None)  # loaded once for all children
# `signal` makes enumeration members of all that it is given and gives, for a fiftieth of what a child costs.
_set_handler: Any = getattr(signal.signal, "__wrapped__", signal.signal)
_DEFAULT = int(signal.SIG_DFL)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Zygote:
    """Knows its living children by the numbers that the supervisor gave them."""

    def __init__(self, control: socket.socket, streams: Streams) -> None:
        self._control = control
        self._streams = streams  # made once for all children
        self._children: dict[int, int] = {}  # process id -> number
        self._folders: dict[int, str] = {}  # by process id
        self._floodgate = Floodgate(_signal_group)
        self._root: str | None = None  # the folder in which all children have theirs
        self._own_fds: frozenset[int] = frozenset()

    def serve(self) -> None:
        """Do as told until the supervisor hangs up, then kill what is left."""
        woken, waker = socket.socketpair()
        for end in (woken, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._own_fds = _open_fds()
        self._tell("ready")
        try:
            while True:
                ready, _, _ = select.select([self._control, woken], [], [], self._floodgate.timeout)
                self._floodgate.check()
                if woken in ready:
                    with suppress(BlockingIOError):
                        woken.recv(4096)
                    self._reap()
                if self._control in ready and not self._obey():
                    return
        finally:
            self._end_all()

    def _end_all(self) -> None:
        """End every child, and remove their folders: a supervisor that was killed cannot."""
        for pid in self._children:
            _signal_group(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                for pid in orphans(self._children):
                    _signal_group(pid, signal.SIGKILL)
                os.wait()
        if self._root is not None:
            remove(self._root)

    def _obey(self) -> bool:
        try:
            packet, fds, _, _ = socket.recv_fds(self._control, 65536, 8)
        except ConnectionResetError:  # the supervisor was killed with notes unread
            return False
        if not packet:
            return False
        order, number, how = os.fsdecode(packet).split(" ", 2)
        if order == "fork":
            self._fork(int(number), how, fds)
        else:
            self._kill(int(number), int(how))
        return True

    def _kill(self, number: int, signal_number: int) -> None:
        for pid, known in self._children.items():
            if known == number:
                _signal_group(pid, signal_number)
                self._floodgate.release(pid)

    def _fork(self, number: int, folder: str, fds: list[int]) -> None:
        zygote, foreign = os.getpid(), self._own_fds.union(self._floodgate.fds).difference(fds)
        processors = processors_of(os.getppid())  # what the worker may use
        give_way()
        pid = os.fork()
        if pid == 0:
            try:
                _become_child(folder, fds, foreign, self._streams, zygote, processors)
            finally:  # a signal may come while it ends, and what it is in would end its siblings as the zygote does
                os._exit(1)
        sock_fd, stdout_fd, stderr_fd, stacks_fd = fds
        for fd in (sock_fd, stacks_fd):
            os.close(fd)
        self._floodgate.watch(pid, (stdout_fd, stderr_fd))
        self._children[pid] = number
        self._folders[pid] = folder
        self._root = self._root or os.path.dirname(folder)

    def _reap(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            # What the child left behind goes with it; its number is still its own until it is waited for.
            _signal_group(ended.si_pid, signal.SIGKILL)
            _, status, usage = os.wait4(ended.si_pid, 0)
            number = self._children.pop(ended.si_pid, None)
            self._floodgate.forget(ended.si_pid)
            for pid in orphans(self._children):
                _signal_group(pid, signal.SIGKILL)
            if number is not None:
                remove(self._folders.pop(ended.si_pid))
                code = os.waitstatus_to_exitcode(status)
                self._tell(f"{number} {code} {usage.ru_maxrss}")

    def _tell(self, note: str) -> None:
        with suppress(OSError):  # the supervisor has died: the next reading tells
            self._control.send(note.encode())


def adopt_orphans() -> None:
    """Make this process the parent of whatever its descendants leave behind, instead of process 1."""
    if sys.platform.startswith("linux"):
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def orphans(known: Collection[int]) -> list[int]:
    """Return this process's children that it did not start: daemons, say, of a child that has ended."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb", buffering=0) as file:
            return [pid for pid in map(int, file.read().split()) if pid not in known]
    except OSError:  # the system does not tell
        return []


def _signal_group(pid: int, number: int) -> None:
    # Until the child has made its own group, signal the process itself.
    with suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def _open_fds() -> frozenset[int]:
    return frozenset(int(name) for name in os.listdir("/dev/fd")) - {0, 1, 2}


def _become_child(
    folder: str,
    fds: list[int],
    foreign: Collection[int],
    streams: Streams,
    zygote: int,
    processors: Collection[int],
) -> None:
    """Turn this freshly forked process into a child; never returns.

    Args:
        folder: Where it works, to be made.
        fds: Its end of the socket, the two captured streams, and the file for its last words.
        foreign: Descriptors that are none of its business.
        streams: What is to be its standard output and error.
        zygote: The process without which it is not to live.
        processors: Those that its job may use.
    """
    code = 1
    try:
        forkhooks.restore()
        threading.main_thread()._set_native_id()  # type: ignore[attr-defined] # noqa: SLF001 - as the hook would
        os.setsid()
        signal.set_wakeup_fd(-1)
        _set_handler(signal.SIGCHLD, _DEFAULT)
        _set_handler(signal.SIGINT, signal.default_int_handler)
        _set_handler(signal.SIGTERM, _DEFAULT)
        _die_with(zygote)
        adopt_orphans()  # a daemon stays this child's for as long as it lives, and is the zygote's to end afterwards
        sock_fd, stdout_fd, stderr_fd, stacks_fd = fds
        # After SIGTERM too, so that who was ended for its time can be asked where it was.
        faulthandler.enable(stacks_fd)
        faulthandler.register(signal.SIGTERM, stacks_fd, chain=True)
        for fd in foreign:
            os.closerange(fd, fd + 1)  # which minds none that is closed
        _enter(folder)
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        streams.move_to(stdout_fd, stderr_fd)
        give_way()
        child.rehearse(streams)
        keep_to(processors)
        child.serve(socket.socket(fileno=sock_fd), streams)
        give_way()
        code = 0
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BaseException:  # noqa: BLE001 - nothing may return into the zygote's loop
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _enter(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)
    except FileNotFoundError:  # somebody tidied up there
        os.makedirs(folder, 0o700)
    os.chdir(folder)


def _die_with(parent: int) -> None:
    if sys.platform.startswith("linux"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def main() -> None:
    """Start as told on the command line: the control socket's descriptor, then modules to import for all children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the supervisor's business
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for module in sys.argv[2:]:
        importlib.import_module(module)
    adopt_orphans()
    revoscalepy.install()
    with lent() as streams:
        child.rehearse(streams)
    keep_to_half()
    if threading.active_count() > 1:  # a module's that was named to be imported
        forkhooks.restore()
    gc.freeze()  # a collection in a child must not copy what all share
    Zygote(socket.socket(fileno=int(sys.argv[1])), streams).serve()


if __name__ == "__main__":
    main()
