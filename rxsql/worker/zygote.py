"""The zygote: a small single-threaded process that forks children, signals them, and tells how they ended.

Only what is safe to fork is imported here, once for all children. It is told what to do over a socket: to `fork` a
child with a number, a folder and file descriptors, or to `kill` one with a signal. It tells the number, exit code and
peak memory in KiB of those that have ended, and ends with everything it forked when the socket closes.
"""

from __future__ import annotations

from rxsql.worker import forkhooks

with forkhooks.withheld():  # this process has one thread; before anything else imports them
    import logging  # noqa: F401
    import random
    import threading

import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
import tempfile
from contextlib import suppress

# What a child calls is found by its bare name: each module that it looked into would be one more page to copy.
from os import chdir, getppid, mkdir, putenv, setsid
from threading import get_native_id
from typing import TYPE_CHECKING, Any

from rxsql import revoscalepy
from rxsql.worker import child
from rxsql.worker.floodgate import Floodgate
from rxsql.worker.folders import remove
from rxsql.worker.giveway import give_way, keep_to, keep_to_half, processors_of
from rxsql.worker.immortal import immortalise
from rxsql.worker.outfit import Outfit, highest_open_fd
from rxsql.worker.streams import Streams
from rxsql.worker.wire import receive

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None
_MAIN_THREAD: Any = threading.main_thread()
# `signal` makes enumeration members of all that it is given and gives, for a thirtieth of what a child costs.
_signal: Any = importlib.import_module("_signal")
_set_handler, _mask_signals, _set_wakeup_fd = _signal.signal, _signal.pthread_sigmask, _signal.set_wakeup_fd
# What is left of the hook by which `random` gives each process other numbers; the hook itself is Python.
_seed: Any = importlib.import_module("_random").Random.seed
_generator: Any = vars(random)["_inst"]
# What `os.environ` shows: through that, a child would copy twenty pages to change a variable.
_environment: Any = vars(os.environ)["_data"]
_STOPPING = (int(signal.SIGINT), int(signal.SIGTERM))
_UNBLOCK, _KILL = int(signal.SIG_UNBLOCK), int(signal.SIGKILL)
_CHILD_ENDED, _DEFAULT = int(signal.SIGCHLD), int(signal.SIG_DFL)
_REHEARSALS = 10  # after which CPython has rewritten that code for what it meets there, for all children
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Zygote:
    """Knows its living children by the numbers that the supervisor gave them.

    Args:
        control: Where the supervisor tells what to do.
        outfit: What each child is to have.
    """

    def __init__(self, control: socket.socket, outfit: Outfit) -> None:
        self._control = control
        self._outfit = outfit
        self._pid, self._worker = os.getpid(), os.getppid()
        self._children: dict[int, int] = {}  # process id -> number
        self._folders: dict[int, str] = {}  # by process id
        self._floodgate = Floodgate(_signal_group)
        self._root: str | None = None  # the folder in which all children have theirs
        self._last_fd = 0  # the highest that was ever open here

    def serve(self) -> None:
        """Do as told until the supervisor hangs up, then kill what is left."""
        woken, waker = socket.socketpair()
        for end in (woken, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._last_fd = highest_open_fd()
        self._tell("ready")
        try:
            while True:
                ready, _, _ = select.select([self._control, woken], [], [], self._floodgate.timeout)
                self._floodgate.check()
                if woken in ready:
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
        self._last_fd = max(self._last_fd, *fds)
        # What a child would copy pages of memory for is done here for the next one.
        _seed(_generator)
        path, processors = os.fsencode(folder), processors_of(self._worker)
        give_way()
        pid = os.fork()
        if pid == 0:
            try:
                self._become_child(path, fds, processors)
            finally:  # a signal may come while it ends, and what it is in would end its siblings as the zygote does
                os._exit(1)
        sock_fd, stdout_fd, stderr_fd, stacks_fd = fds
        for fd in (sock_fd, stacks_fd):
            os.close(fd)
        self._floodgate.watch(pid, (stdout_fd, stderr_fd))
        self._children[pid] = number
        self._folders[pid] = folder
        self._root = self._root or os.path.dirname(folder)

    def _become_child(self, folder: bytes, fds: Sequence[int], processors: Collection[int]) -> None:
        """Turn this freshly forked process into a child; never returns.

        Args:
            folder: Where it works, to be made.
            fds: Its end of the socket, the two captured streams, and the file for its last words.
            processors: Those that it may use.
        """
        code, outfit = 1, self._outfit
        try:
            _MAIN_THREAD._native_id = get_native_id()  # noqa: SLF001 - as the hook that is kept back
            setsid()
            _set_wakeup_fd(-1)
            _set_handler(_CHILD_ENDED, _DEFAULT)
            if _prctl is not None:
                _prctl(_PR_SET_PDEATHSIG, _KILL)
                # A daemon stays this child's for as long as it lives, and is the zygote's to end after.
                _prctl(_PR_SET_CHILD_SUBREAPER, 1)
            if getppid() != self._pid:  # it ended before we asked
                os._exit(1)
            outfit.put_on(fds, self._last_fd)
            _mask_signals(_UNBLOCK, _STOPPING)
            _enter(folder)
            _set_variable(b"TMPDIR", folder)
            outfit.streams.redirect()
            give_way()
            child.rehearse(outfit.streams)
            keep_to(processors)
            child.serve(outfit.sock, outfit.streams)
            give_way()
            code = 0
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        except BaseException:  # noqa: BLE001 - nothing may return into the zygote's loop
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

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
        try:
            self._control.send(note.encode())
        except OSError:  # the supervisor has died: the next reading tells
            return


def adopt_orphans() -> None:
    """Make this process the parent of whatever its descendants leave behind, instead of process 1."""
    if _prctl is not None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def orphans(known: Collection[int]) -> list[int]:
    """Return this process's children that it did not start: daemons, say, of a child that has ended."""
    try:
        file = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY)
    except OSError:  # the system does not tell
        return []
    told = b""
    while part := os.read(file, 4096):
        told += part
    os.close(file)
    return [pid for pid in map(int, told.split()) if pid not in known]


def _signal_group(pid: int, number: int) -> None:
    # Until the child has made its own group, signal the process itself.
    try:
        (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _enter(folder: bytes) -> None:
    try:
        mkdir(folder, 0o700)
    except FileNotFoundError:  # somebody tidied up there
        os.makedirs(folder, 0o700)
    chdir(folder)


def _set_variable(name: bytes, value: bytes) -> None:
    putenv(name, value)
    _environment[name] = value


def _look_up_once(outfit: Outfit) -> None:
    """Ask each kind of object for what a child will ask it for: CPython keeps the answers, for all children at once."""
    asking = (Zygote._become_child, Outfit.put_on, Streams.redirect, child.serve, receive)  # noqa: SLF001
    kinds = map(type, (outfit, outfit.sock, outfit.streams, os.environ))
    for kind in (Zygote, *kinds):
        for name in {name for function in asking for name in function.__code__.co_names}:
            getattr(kind, name, None)


def main() -> None:
    """Start as told on the command line: the control socket's descriptor, then modules to import for all children."""
    # Ctrl-C in a terminal is the supervisor's business; children hear these again.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for module in sys.argv[2:]:
        importlib.import_module(module)
    adopt_orphans()
    revoscalepy.install()
    immortalise()  # not the streams, which are to end where user code replaces them
    outfit = Outfit()
    for _ in range(_REHEARSALS):
        child.rehearse(outfit.streams)
    random.seed()
    _look_up_once(outfit)
    os.environ["TMPDIR"] = tempfile.gettempdir()  # a child only changes it, for a dozen pages of memory less
    tempfile.tempdir = None  # which it is to find by that
    keep_to_half()
    if threading.active_count() > 1:  # a module's that was named to be imported
        forkhooks.restore()
    gc.freeze()  # a collection in a child must not copy what all share
    try:
        Zygote(socket.socket(fileno=int(sys.argv[1])), outfit).serve()
    finally:
        outfit.close()


if __name__ == "__main__":
    main()
