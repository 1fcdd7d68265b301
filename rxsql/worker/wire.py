"""The messages between supervisor and child: packets on a socket pair, large bodies by file descriptor.

Packets are atomic, so the supervisor can take back those a child has not read yet. Nothing here is pickled by the
supervisor: a child runs other people's code, and what it sends is only bytes with a length.
"""

from __future__ import annotations

import array
import errno
import fcntl
import mmap
import os
import socket
import struct
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from rxsql.pages import Spool
from rxsql.payload import pack, unpack
from rxsql.sections import Descriptor, Pieces, Section, write_all

if TYPE_CHECKING:
    from collections.abc import Sequence

INLINE = 64 * 1024  # larger bodies travel as a file
_LARGEST = INLINE + 4096
_HAS_MEMFD = sys.platform.startswith("linux")
_SECTION = struct.Struct("<QQ")
_BLOCK = 512
_ONE_FD = socket.CMSG_LEN(array.array("i").itemsize)
_TASK = struct.Struct("<cIIII")
_OUTCOME = struct.Struct("<cIIBdQQII")
# A packet's first byte: where its large body is.
_IN_PACKET, _IN_SCRATCH_FILE, _IN_PAGES, _IN_SECTION = range(4)
_PLAIN_PACKET = bytes((_IN_PACKET,))
_FAILED, _HAS_PAYLOAD = 1, 2  # flags of an outcome
_LONGEST_TEXTS = 2**20  # bytes of an error and its traceback, which the child has cut
_LONGEST_SECONDS = 1e9
JOB, TASK, OUTCOME, BROKEN = b"J", b"T", b"O", b"B"


def pair() -> tuple[socket.socket, socket.socket]:
    """Return a connected pair that keeps packets whole."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return ends


class JobMessage(NamedTuple):
    """The job that a child serves: what it runs, what all runs share, modules to import, and limits (0: none)."""

    function: bytes
    shared_input: bytes
    kind: str
    packages: tuple[str, ...]
    continue_on_failure: bool
    memory_mb: int
    payload_mb: int


class TaskMessage(NamedTuple):
    """A task for a child: its number in this child, its runs, those of them that have results already, its inputs."""

    number: int
    first_run: int
    run_count: int
    done_runs: tuple[int, ...]
    input: bytes | memoryview = b""
    pages: Spool | None = None  # a large table's, which stay in their file


class OutcomeMessage(NamedTuple):
    """A run's end, with the sizes of the two captured streams at that moment."""

    number: int
    run: int
    failed: bool
    seconds: float
    stdout_end: int
    stderr_end: int
    error: str
    traceback: str
    payload: bytes | memoryview | Spool | None


def send_job(sock: socket.socket, job: JobMessage) -> None:
    """Tell a child which job it serves."""
    _send(sock, JOB, pack((*job,)))


def send_task(sock: socket.socket, task: TaskMessage, own: bytes | Spool | Section) -> None:
    """Hand a task to a child, with its input.

    Raises:
        BlockingIOError: The child has enough to do.
    """
    head = _TASK.pack(TASK, task.number, task.first_run, task.run_count, len(task.done_runs))
    done = struct.pack(f"<{len(task.done_runs)}I", *task.done_runs) if task.done_runs else b""
    if isinstance(own, Section) and len(done) <= INLINE:
        packet = b"".join((bytes((_IN_SECTION,)), head, done, _SECTION.pack(own.start, own.size)))
        socket.send_fds(sock, [packet], [own.file.fd])
    else:
        body = own.read() if isinstance(own, Section) else own
        _send(sock, head, *((done, body) if done else (body,)))


def send_outcome(sock: socket.socket, outcome: OutcomeMessage, pieces: Pieces | None = None) -> None:
    """Tell the supervisor a run's end; `pieces` is its payload where that is in some."""
    body = outcome.payload if pieces is None else pieces
    error, trace = outcome.error.encode(errors="replace"), outcome.traceback.encode(errors="replace")
    has_payload = _HAS_PAYLOAD if body is not None else 0
    head = _OUTCOME.pack(
        OUTCOME,
        outcome.number,
        outcome.run,
        _FAILED * outcome.failed | has_payload,
        outcome.seconds,
        outcome.stdout_end,
        outcome.stderr_end,
        len(error),
        len(trace),
    )
    _send(sock, head, error, trace, b"" if body is None else body)


def send_small_value(
    sock: socket.socket, number: int, run: int, seconds: float, ends: tuple[int, int], payload: bytes
) -> None:
    """Tell the supervisor what a run has returned, in at most `INLINE` bytes: most outcomes are such."""
    head = _OUTCOME.pack(OUTCOME, number, run, _HAS_PAYLOAD, seconds, *ends, 0, 0)
    sock.send(b"".join((_PLAIN_PACKET, head, payload)))


def send_broken(sock: socket.socket, why: str) -> None:
    """Tell the supervisor why the job cannot be run at all."""
    _send(sock, BROKEN, why.encode(errors="replace"))


def _send(sock: socket.socket, head: bytes, *parts: bytes | memoryview | Pieces | Spool) -> None:
    for part in parts:
        # A large table is of a run that went well: all other parts are empty.
        if isinstance(part, Spool) and part.file is not None:
            socket.send_fds(sock, [bytes((_IN_PAGES,)) + head], [part.file.fd])
            return
    body = [part.data if isinstance(part, Spool) else part for part in parts]
    if sum(map(len, body)) <= INLINE:
        sock.send(b"".join((_PLAIN_PACKET, head, *map(bytes, body))))
        return
    with _scratch_file() as file:
        for part in body:
            write_all(file.fileno(), part)
        socket.send_fds(sock, [bytes((_IN_SCRATCH_FILE,)) + head], [file.fileno()])


def _scratch_file() -> IO[bytes]:
    if _HAS_MEMFD:
        return os.fdopen(os.memfd_create("rxsql", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


class Message(NamedTuple):
    """A received packet: the packet itself, and the large body where one came with it."""

    packet: bytes
    body: memoryview = memoryview(b"")
    pages: Spool | None = None

    @property
    def kind(self) -> bytes:
        """Which message it is."""
        return self.packet[1:2]

    def rest(self, start: int) -> memoryview:
        """Return what follows the packet's head, wherever it travelled."""
        return self.body if self.packet[0] else memoryview(self.packet)[start:]


def next_kind(sock: socket.socket) -> bytes | None:
    """Return which message waits to be received first; None where none does, or none will ever."""
    try:
        return sock.recv(2, socket.MSG_PEEK | socket.MSG_DONTWAIT)[1:] or None
    except BlockingIOError:
        return None


def receive(sock: socket.socket, flags: int = 0, *, takes_sections: bool = False) -> Message | None:
    """Return the next message, None at the end of the stream.

    Args:
        sock: Where from.
        flags: As of `recv`.
        takes_sections: Whether a large body may be a part of a file that the sender has not made for it: only what
            the supervisor sends is sure not to be cut off while it is read.

    Raises:
        BlockingIOError: There is none yet on a non-blocking socket.
    """
    # Not socket.recv_fds: it drops the flags.
    packet, ancillary, _, _ = sock.recvmsg(_LARGEST, _ONE_FD, flags)
    # Also those that nobody asked for: they are closed with these.
    files = [Descriptor(fd) for _, _, data in ancillary for fd in array.array("i", data)] if ancillary else []
    if not packet:
        return None
    if not packet[0]:
        return Message(packet)
    if packet[0] == _IN_SCRATCH_FILE:
        return Message(packet, _view(files[0].fd))
    if takes_sections and packet[0] == _IN_SECTION:
        return Message(packet, Section(files[0], *_SECTION.unpack(packet[-_SECTION.size :])).view())
    return Message(packet, pages=Spool.received(files[0]))


def _view(fd: int) -> memoryview:
    """Return a file's content, which stays what it is until the view is dropped.

    Raises:
        OSError: It is not what `_scratch_file` makes.
    """
    if not _HAS_MEMFD:
        return memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
    # Who reads what the sender has cut off meanwhile is killed by the system.
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE)
    size = os.fstat(fd)
    if size.st_blocks * _BLOCK < size.st_size:
        raise OSError(errno.EINVAL, "this file has holes, which reading would fill with memory")
    return memoryview(mmap.mmap(fd, 0, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ))


def parse_job(message: Message) -> Sequence[Any]:
    """Return the fields of a job message, of which the supervisor made every byte."""
    return unpack(message.rest(2))


def parse_task(message: Message) -> TaskMessage:
    """Return a task message."""
    _, number, first_run, run_count, done = _TASK.unpack_from(message.packet, 1)
    start = 1 + _TASK.size
    rest = message.rest(start)
    if message.packet[0] == _IN_SECTION:
        done_runs = struct.unpack_from(f"<{done}I", message.packet, start)
        return TaskMessage(number, first_run, run_count, done_runs, rest, message.pages)
    done_runs = struct.unpack_from(f"<{done}I", rest) if done else ()
    return TaskMessage(number, first_run, run_count, done_runs, rest[4 * done :], message.pages)


def parse_outcome(message: Message) -> OutcomeMessage:
    """Return an outcome message, whoever made it.

    Raises:
        ValueError: Its texts are longer than a child makes them.
        struct.error: It is none.
    """
    _, number, run, flags, seconds, stdout_end, stderr_end, error, trace = _OUTCOME.unpack_from(
        message.packet, 1
    )
    if error + trace > _LONGEST_TEXTS:
        raise ValueError("the texts are too long")
    body = message.body if message.packet[0] else message.packet[1 + _OUTCOME.size :]
    payload: bytes | memoryview | Spool | None = message.pages
    if payload is None and flags & _HAS_PAYLOAD:
        payload = body[error + trace :]
    texts = bytes(body[: error + trace])
    return OutcomeMessage(
        number,
        run,
        bool(flags & _FAILED),
        seconds if 0.0 <= seconds <= _LONGEST_SECONDS else 0.0,  # user code may have changed the clock
        stdout_end,
        stderr_end,
        texts[:error].decode(errors="replace"),
        texts[error:].decode(errors="replace"),
        payload,
    )


def parse_broken(message: Message) -> str:
    """Return why a job cannot be run."""
    return bytes(message.rest(2)[:_LONGEST_TEXTS]).decode(errors="replace")
