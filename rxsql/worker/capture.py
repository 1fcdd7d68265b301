"""Captured output: a growing file a stream, cut into the lines of each run.

A file, not a pipe: a flood cannot block the child, a crash loses nothing, and the file's size at the end of a run marks
where that run's output ends.
"""

from __future__ import annotations

import codecs
import os
import tempfile
import time

from rxsql.models import ConsoleChunk

STREAMS = ("stdout", "stderr")
_READ_BYTES = 1 << 20
_PARTIAL_SECONDS = 1.0  # a line without an end is shown after this long


def new_file() -> int:
    """Return the descriptor of a nameless file in append mode."""
    if hasattr(os, "memfd_create"):
        made = os.memfd_create("rxsql-console")
        fd = os.open(f"/proc/self/fd/{made}", os.O_RDWR | os.O_APPEND)
        os.close(made)
        return fd
    made, path = tempfile.mkstemp(prefix="rxsql-console-")
    os.close(made)
    fd = os.open(path, os.O_RDWR | os.O_APPEND)
    os.unlink(path)
    return fd


class Capture:
    """One captured stream of one child, read from where the last reading ended."""

    def __init__(self) -> None:
        self.fd = new_file()
        self._read = 0

    def size(self) -> int:
        """Return how much was written so far."""
        return os.fstat(self.fd).st_size

    def read(self, end: int) -> bytes:
        """Return what was written and not read yet, up to the position `end`."""
        parts = []
        while self._read < end:
            part = os.pread(self.fd, min(end - self._read, _READ_BYTES), self._read)
            if not part:
                break
            self._read += len(part)
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        """Give the file back."""
        os.close(self.fd)


class RunConsole:
    """The console lines of one run, as they come."""

    def __init__(self, job_key: int, task: int, attempt: int, run: int) -> None:
        self._key = (job_key, task, run, attempt)
        self._next_line = 0
        self._decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in STREAMS]
        self._held = ["", ""]
        self._held_since = [0.0, 0.0]

    def add(self, stream: int, data: bytes, *, final: bool = False) -> ConsoleChunk | None:
        """Take what a stream wrote; return the lines that are complete (all there is at the end), if any."""
        if not data and not self._held[stream]:
            return None
        text = self._held[stream] + self._decoders[stream].decode(data, final)
        lines = text.split("\n")
        held = lines.pop()
        now = time.monotonic()
        if data:
            self._held_since[stream] = now
        partial = bool(held) and (final or now - self._held_since[stream] > _PARTIAL_SECONDS)
        if partial:
            lines.append(held)
            held = ""
        self._held[stream] = held
        if not lines:
            return None
        job_key, task, run, attempt = self._key
        first = self._next_line
        self._next_line += len(lines) - partial
        return ConsoleChunk(job_key, task, run, attempt, STREAMS[stream], first, tuple(lines), partial)
