"""The messages between supervisor and child: packets on a socket pair, large bodies by file descriptor.

Packets are atomic, so the supervisor can take back those a child has not read yet. Nothing here is pickled by the
supervisor: a child runs other people's code, and what it sends is only bytes with a length.
"""

from __future__ import annotations

import array
import mmap
import os
import socket
import struct
import tempfile
from dataclasses import dataclass
from typing import IO

from rxsql.pages import Descriptor, Spool

INLINE = 64 * 1024  # larger bodies travel as a file
_LARGEST = INLINE + 4096
_ONE_FD = socket.CMSG_LEN(array.array("i").itemsize)
_TASK = struct.Struct("<cIIIH")
_OUTCOME = struct.Struct("<cIIBdQQII")
JOB, TASK, OUTCOME, BROKEN, READY = b"J", b"T", b"O", b"B", b"R"


def pair() -> tuple[socket.socket, socket.socket]:
    """Return a connected pair that keeps packets whole."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return ends


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """A task for a child: its number in this child, its runs, those of them that have results already, its inputs."""

    number: int
    first_run: int
    run_count: int
    done_runs: tuple[int, ...]
    input: bytes | memoryview = b""


@dataclass(frozen=True, slots=True)
class OutcomeMessage:
    """A run's end, with the sizes of the two captured streams at that moment."""

    number: int
    run: int
    failed: bool
    seconds: float
    stdout_end: int
    stderr_end: int
    error: str
    traceback: str
    payload: bytes | Spool | None


def send_job(sock: socket.socket, details: bytes, function: bytes, shared_input: bytes) -> None:
    """Tell a child which job it serves; `details` is JSON."""
    head = JOB + struct.pack("<II", len(details), len(function)) + details
    _send(sock, head, function + shared_input)


def send_task(sock: socket.socket, task: TaskMessage, own: bytes | Spool) -> None:
    """Hand a task to a child, with its input.

    Raises:
        BlockingIOError: The child has enough to do.
    """
    head = _TASK.pack(TASK, task.number, task.first_run, task.run_count, len(task.done_runs))
    _send(sock, head + struct.pack(f"<{len(task.done_runs)}I", *task.done_runs), own)


def send_outcome(sock: socket.socket, outcome: OutcomeMessage) -> None:
    """Tell the supervisor a run's end."""
    error, trace = outcome.error.encode(errors="replace"), outcome.traceback.encode(errors="replace")
    has_payload = 2 if outcome.payload is not None else 0
    head = _OUTCOME.pack(
        OUTCOME,
        outcome.number,
        outcome.run,
        int(outcome.failed) | has_payload,
        outcome.seconds,
        outcome.stdout_end,
        outcome.stderr_end,
        len(error),
        len(trace),
    )
    if isinstance(outcome.payload, Spool):  # the table of a run that went well: no texts stand before it
        _send(sock, head, outcome.payload)
    else:
        _send(sock, head, error + trace + (outcome.payload or b""))


def send_text(sock: socket.socket, kind: bytes, text: str) -> None:
    """Tell the supervisor that the job is ready (`READY`), or why it cannot be run at all (`BROKEN`)."""
    _send(sock, kind, text.encode(errors="replace"))


def _send(sock: socket.socket, head: bytes, body: bytes | memoryview | Spool) -> None:
    if isinstance(body, Spool):
        if body.file is not None:
            socket.send_fds(sock, [b"\1" + head], [body.file.fd])
            return
        body = body.data
    if len(body) <= INLINE:
        sock.send(b"\0" + head + body)
        return
    with _scratch_file() as file:
        file.write(body)
        file.flush()
        socket.send_fds(sock, [b"\1" + head], [file.fileno()])


def _scratch_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("rxsql"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


@dataclass(slots=True)
class Message:
    """A received packet: the packet itself, and the large body where one came with it."""

    packet: bytes
    file: Descriptor | None = None

    @property
    def kind(self) -> bytes:
        """Which message it is."""
        return self.packet[1:2]

    def rest(self, start: int) -> memoryview:
        """Return what follows the packet's head, wherever it travelled."""
        if self.file is None:
            return memoryview(self.packet)[start:]
        return memoryview(mmap.mmap(self.file.fd, 0, access=mmap.ACCESS_READ))

    def pages(self, start: int, skipped: int) -> Spool:
        """Return the table that follows the packet's head and so many bytes, without reading it."""
        if self.file is None:
            return Spool.of(self.packet[start + skipped :])
        return Spool.received(self.file, skipped)


def receive(sock: socket.socket, flags: int = 0) -> Message | None:
    """Return the next message, None at the end of the stream.

    Raises:
        BlockingIOError: There is none yet on a non-blocking socket.
    """
    # Not socket.recv_fds: it drops the flags.
    packet, ancillary, _, _ = sock.recvmsg(_LARGEST, _ONE_FD, flags)
    if not packet:
        return None
    if not packet[0]:
        return Message(packet)
    first, *others = map(Descriptor, array.array("i", ancillary[0][2]))
    del others  # which closes them
    return Message(packet, first)


def parse_job(message: Message) -> tuple[bytes, bytes, bytes]:
    """Return a job message's details, function and shared input."""
    details, function = struct.unpack_from("<II", message.packet, 2)
    body = message.rest(10 + details)
    return message.packet[10 : 10 + details], bytes(body[:function]), bytes(body[function:])


def parse_task(message: Message) -> TaskMessage:
    """Return a task message."""
    _, number, first_run, run_count, done = _TASK.unpack_from(message.packet, 1)
    start = 1 + _TASK.size
    done_runs = struct.unpack_from(f"<{done}I", message.packet, start)
    return TaskMessage(number, first_run, run_count, done_runs, message.rest(start + 4 * done))


def parse_outcome(message: Message, *, is_table: bool = False) -> OutcomeMessage:
    """Return an outcome message; what a run of a script returned is a table."""
    _, number, run, flags, seconds, stdout_end, stderr_end, error, trace = _OUTCOME.unpack_from(
        message.packet, 1
    )
    start = 1 + _OUTCOME.size
    payload: bytes | Spool | None = None
    texts = bytes(message.rest(start)[: error + trace]) if error + trace else b""
    if is_table and not flags & 1:
        payload = message.pages(start, error + trace)
    elif flags & 2:
        payload = bytes(message.rest(start)[error + trace :])
    return OutcomeMessage(
        number,
        run,
        bool(flags & 1),
        seconds,
        stdout_end,
        stderr_end,
        texts[:error].decode(errors="replace"),
        texts[error:].decode(errors="replace"),
        payload,
    )


def parse_text(message: Message) -> str:
    """Return a READY or BROKEN message's text."""
    return bytes(message.rest(2)).decode(errors="replace")
