"""Standard output and error of a child: files that the supervisor reads while they grow.

A line is in its file when `print` returns, so whatever ends the process, it is kept. Only while code prints so fast
that this would take most of its time, lines go in blocks: for at most a few milliseconds and kilobytes.
"""

from __future__ import annotations

import ctypes
import io
import os
import sys
import threading
import time
import weakref
from contextlib import suppress
from functools import cache
from os import dup2, fstat
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer

_LIBC = ctypes.CDLL(None)  # loaded once for all children
_FLOOD_LINES, _FLOOD_SECONDS = 512, 0.005  # so many lines within so short a time are a flood
_FLUSH_SECONDS = 0.02  # the longest that a line waits in its block
# Before these, blocks are written out: another process would write after what was printed before it, this one's memory
# is copied or replaced, or somebody may be ending it.
_SETTLING = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.kill",
        "os.killpg",
        "os.posix_spawn",
        "os.system",
        "signal.pthread_kill",
        "subprocess.Popen",
    }
)

_flooded: set[AdaptiveBuffer] = set()  # those with lines in blocks


class AdaptiveBuffer(io.BufferedWriter):
    """What a text stream writes into: line by line, but for floods."""

    def __init__(self, fd: int) -> None:
        super().__init__(io.FileIO(fd, "w", closefd=False))
        self._text: Callable[[], io.TextIOWrapper | None] = lambda: None
        self._writes = 0
        self._since = 0.0
        self._calm: threading.Event | None = None  # there while lines go in blocks
        self._ticker: threading.Thread | None = None

    def new_text(self) -> io.TextIOWrapper:
        """Return the text stream above this."""
        text = io.TextIOWrapper(self, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        # Weak, so that a stream that is replaced ends there and then, and with it what it could not write before.
        self._text = weakref.ref(text)
        return text

    def _flush_text(self) -> None:
        text = self._text()
        if text is not None:
            text.flush()

    def write(self, data: ReadableBuffer, /) -> int:
        """Take bytes: a line of the text stream, a block of it, or what somebody writes past it."""
        self._writes += 1
        if self._calm is not None:
            self._flush_text()  # what was printed before this goes first
        elif self._writes >= _FLOOD_LINES:
            self._judge()
        return super().write(data)

    def _judge(self) -> None:
        """Go over to blocks when the last lines came in a flood."""
        now = time.monotonic()
        is_flood = now - self._since < _FLOOD_SECONDS
        self._writes, self._since = 0, now
        text = self._text()
        if not is_flood or text is None or not text.line_buffering:
            return
        _watch_for_ends()
        _flooded.add(self)
        text.reconfigure(line_buffering=False)
        self._calm = threading.Event()
        self._ticker = threading.Thread(target=self._tick, args=(self._calm,), daemon=True)
        self._ticker.start()

    def _tick(self, calm: threading.Event) -> None:
        """Write out what is printed, every few milliseconds, until less than a block comes between."""
        with suppress(ValueError, OSError):  # somebody closed the stream
            while not calm.wait(_FLUSH_SECONDS):
                if not self._writes:
                    self.settle()
                    return
                self._flush_text()
                self._writes = 0

    def settle(self) -> None:
        """Write out what waits, and go on line by line."""
        if self._calm is not None:
            self._calm.set()
        if self._ticker is not None and self._ticker is not threading.current_thread():
            self._ticker.join()  # it may be writing; and a process that forks should have one thread
            self._ticker = None
        self._calm, self._writes = None, 0
        text = self._text()
        if text is not None:
            with suppress(ValueError, OSError):
                text.reconfigure(line_buffering=True)
        _flooded.discard(self)


class Streams:
    """Standard output and error as files that the supervisor reads while they grow."""

    def __init__(self, stdout_fd: int, stderr_fd: int) -> None:
        self._fds = (stdout_fd, stderr_fd)
        self._mine: tuple[io.TextIOWrapper, ...] = ()
        self._flush_c = _LIBC.fflush
        # Kept: to end what these replace would take each forked process time.
        self._replaced = sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__
        self.restore()
        _settle_before_exit()

    def restore(self) -> None:
        """Put the streams back where they belong, whatever user code did to them."""
        settle()
        self.redirect()
        self._mine = tuple(AdaptiveBuffer(number).new_text() for number in (1, 2))
        sys.stdout, sys.stderr = self._mine
        sys.__stdout__, sys.__stderr__ = self._mine  # type: ignore[misc]

    def redirect(self) -> None:
        """Have what is written as standard output and error go to this object's files."""
        dup2(self._fds[0], 1)
        dup2(self._fds[1], 2)

    def sizes(self) -> tuple[int, int]:
        """Flush everything, C's buffers included; return how much was written to each stream."""
        if (sys.stdout, sys.stderr) != self._mine or self._mine[0].closed or self._mine[1].closed:
            with suppress(Exception):
                sys.stdout.flush()
            with suppress(Exception):
                sys.stderr.flush()
            self.restore()
        try:
            self._mine[0].flush()
            self._mine[1].flush()
        except OSError:  # the descriptor was closed or replaced under the stream
            self.restore()
        self._flush_c(None)
        return fstat(self._fds[0]).st_size, fstat(self._fds[1]).st_size


def settle() -> None:
    """Write out the blocks of all floods."""
    for buffer in tuple(_flooded):
        buffer.settle()


@cache
def _settle_before_exit() -> None:
    """Let `os._exit` write out blocks first, by whichever name code knows it."""
    leave = os._exit

    def _exit(status: int) -> NoReturn:
        if _flooded:
            with suppress(Exception):
                settle()
        leave(status)

    for name in ("os", "posix"):
        sys.modules[name]._exit = _exit  # type: ignore[attr-defined]  # noqa: SLF001


@cache
def _watch_for_ends() -> None:
    """Write out blocks before another process comes into it; not before there was a flood, since a watch costs."""
    sys.addaudithook(_on_event)


def _on_event(event: str, _arguments: tuple[Any, ...]) -> None:
    if _flooded and event in _SETTLING:
        settle()
