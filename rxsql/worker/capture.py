"""Captured output: a growing file a stream, cut into the lines of each run.

A file, not a pipe: a flood cannot block the child, a crash loses nothing, and the file's size at the end of a run marks
where that run's output ends. What has been read is given back to the system while the file grows.
"""

from __future__ import annotations

import codecs
import ctypes
import fcntl
import os
import sys
import tempfile
import time
from collections import deque

from rxsql.reports import LAST_LINES, ConsoleChunk

STREAMS = ("stdout", "stderr")
_LAST_CHARACTERS = 200
_READ_BYTES = 1 << 20
_TAIL_BYTES = 1 << 20
_PARTIAL_SECONDS = 1.0  # a line without an end is shown after this long
_PUNCH = 0x03  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE


def new_file(name: str = "rxsql-console") -> int:
    """Return the descriptor of a nameless file in append mode."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create(name)
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        return fd
    made, path = tempfile.mkstemp(prefix=f"{name}-")
    os.close(made)
    fd = os.open(path, os.O_RDWR | os.O_APPEND)
    os.unlink(path)
    return fd


class Capture:
    """One captured stream of one child, read from where the last reading ended."""

    def __init__(self) -> None:
        self.fd = new_file()
        self.position = 0
        self.mid_line = False
        self._freed = 0

    def size(self) -> int:
        """Return how much was written so far."""
        return os.lseek(
            self.fd, 0, os.SEEK_END
        )  # asked for each run, and a sixth of the time that fstat takes

    def read(self, end: int) -> bytes:
        """Return what was written and not read yet, up to the position `end`."""
        parts = []
        while self.position < end:
            part = os.pread(self.fd, min(end - self.position, _READ_BYTES), self.position)
            if not part:
                break
            self.position += len(part)
            parts.append(part)
            self.mid_line = not part.endswith(b"\n")
        self.free(self.position)
        return b"".join(parts)

    def free(self, end: int) -> None:
        """Give the memory of what stands before the position `end` back, where the system can."""
        whole = end - end % _READ_BYTES
        if whole > self._freed and sys.platform.startswith("linux"):
            fallocate = ctypes.CDLL(None).fallocate64
            fallocate(self.fd, _PUNCH, ctypes.c_int64(self._freed), ctypes.c_int64(whole - self._freed))
            self._freed = whole

    def close(self) -> None:
        """Give the file back."""
        os.close(self.fd)


class Quota:
    """How much console output of a task is kept: its head as it comes, and when there is more, its tail at the end.

    Args:
        limit: Bytes to keep altogether; 0: all.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self._tail = min(limit // 2, _TAIL_BYTES)
        self._head = limit - self._tail

    def take(self, capture: Capture, end: int, *, final: bool) -> bytes:
        """Return what to keep of the output up to `end`; what lies beyond the head waits for the run's end."""
        if not self.limit:
            return capture.read(end)
        kept = b""
        if self._head and capture.position < end:
            kept = capture.read(min(end, capture.position + self._head))
            self._head -= len(kept)
        if capture.position < end:
            if final:
                return kept + self._rest(capture, end)
            capture.free(end - self._tail)
        return kept

    def _rest(self, capture: Capture, end: int) -> bytes:
        """Return the tail from its first whole line on, after a line that says how much is left out before it."""
        begun, begun_mid_line = capture.position, capture.mid_line
        capture.position = max(begun, end - self._tail)
        cut = capture.position > begun
        tail = capture.read(end)
        if cut:
            tail = tail[tail.find(b"\n") + 1 :]
        self._tail = max(0, self._tail - len(tail))
        left_out = end - begun - len(tail)
        if not left_out:
            return tail
        mark = f"[rxsql left out {left_out:,} bytes here: the limit RXSQL_CONSOLE_BYTES is {self.limit:,}]"
        return b"\n" * begun_mid_line + mark.encode() + b"\n" + tail


class RunConsole:
    """The console lines of one run, as they come."""

    def __init__(self, job_key: int, task: int, attempt: int, run: int) -> None:
        self._key = (job_key, task, run, attempt)
        self._next_line = 0
        self._decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in STREAMS]
        self._held = ["", ""]
        self._held_since = [0.0, 0.0]
        self._last: deque[str] = deque(maxlen=LAST_LINES)

    @property
    def last_lines(self) -> str | None:
        """The last lines of both streams; None when there is none."""
        return "\n".join(self._last) or None

    def add(self, stream: int, data: bytes, *, final: bool = False) -> ConsoleChunk | None:
        """Take what a stream wrote; return the lines that are complete (all there is at the end), if any."""
        if not data and not self._held[stream]:
            return None
        text = self._held[stream] + self._decoders[stream].decode(data, final)
        whole, line_end, held = text.rpartition("\n")
        now = time.monotonic()
        if line_end or not self._held[stream]:  # not at each piece: a progress bar never pauses
            self._held_since[stream] = now
        partial = bool(held) and (final or now - self._held_since[stream] > _PARTIAL_SECONDS)
        if partial:
            whole, held = text, ""
        self._held[stream] = held
        if not (line_end or partial):
            return None
        self._last.extend(line[:_LAST_CHARACTERS] for line in whole.rsplit("\n", LAST_LINES)[-LAST_LINES:])
        job_key, task, run, attempt = self._key
        first = self._next_line
        self._next_line += whole.count("\n") + 1 - partial
        return ConsoleChunk(job_key, task, run, attempt, STREAMS[stream], first, whole, partial)
