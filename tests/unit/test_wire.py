"""The messages between supervisor and child: large bodies, and who may change them."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from rxsql.sections import Descriptor, Pieces, Section
from rxsql.worker import wire

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = os.urandom(wire.INLINE + 1)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connected pair."""
    near, far = wire.pair()
    with near, far:
        yield near, far


def outcome(payload: bytes | None, error: str = "") -> wire.OutcomeMessage:
    """An outcome with this payload."""
    return wire.OutcomeMessage(7, 3, bool(error), 0.5, 11, 12, error, error * 2, payload)


@pytest.mark.parametrize("payload", [None, b"", b"small", LARGE])
@pytest.mark.parametrize("error", ["", "ValueError: ünlucky", "E" * wire.INLINE])
def test_an_outcome_arrives_as_it_was_sent(
    ends: tuple[socket.socket, socket.socket], payload: bytes | None, error: str
) -> None:
    """Whatever its size, by which way it travels, and whether there is a payload."""
    sent = outcome(payload, error)
    wire.send_outcome(ends[0], sent)
    message = wire.receive(ends[1])
    assert message is not None
    assert wire.parse_outcome(message) == sent


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no such files")
def test_a_large_body_cannot_be_changed_behind_its_reader(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of a file that its sender cuts off would be killed by the system; here the sender is refused."""
    kept: list[int] = []
    send_fds = socket.send_fds

    def keep(sock: socket.socket, buffers: list[bytes], fds: list[int]) -> int:
        kept.append(os.dup(fds[0]))
        return send_fds(sock, buffers, fds)

    monkeypatch.setattr(socket, "send_fds", keep)
    wire.send_outcome(ends[0], outcome(LARGE))
    message = wire.receive(ends[1])
    assert message is not None
    with pytest.raises(PermissionError):
        os.ftruncate(kept[0], 0)
    with pytest.raises(PermissionError):
        os.pwrite(kept[0], b"x", 0)
    os.close(kept[0])
    assert wire.parse_outcome(message).payload == LARGE


def test_pieces_arrive_as_one(ends: tuple[socket.socket, socket.socket]) -> None:
    """A large payload is sent from where its pieces are, and a small one, too."""
    for pieces in ([LARGE, b"", b"more"], [b"a", b"b"]):
        wire.send_outcome(ends[0], outcome(None), Pieces(pieces))
        message = wire.receive(ends[1])
        assert message is not None
        assert wire.parse_outcome(message).payload == b"".join(pieces)


@pytest.mark.parametrize("start", [0, 65_536, 1000])
def test_a_task_may_point_into_a_file(
    ends: tuple[socket.socket, socket.socket], tmp_path_factory: pytest.TempPathFactory, start: int
) -> None:
    """What a child reads is that part, and nothing of the file travels; only a child takes such a message."""
    path = tmp_path_factory.mktemp("wire") / "file"
    path.write_bytes(b"x" * start + LARGE + b"y")
    task = wire.TaskMessage(1, 2, 3, (4, 5), b"")
    for takes_sections in (True, False):
        section = Section(Descriptor(os.open(path, os.O_RDONLY)), start, len(LARGE))
        wire.send_task(ends[0], task, section)
        message = wire.receive(ends[1], takes_sections=takes_sections)
        assert message is not None
        assert (message.body == LARGE) is takes_sections
        assert wire.parse_task(message).done_runs == (4, 5)


def test_another_kind_of_file_is_no_body(
    ends: tuple[socket.socket, socket.socket], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Somebody's own file could be cut off, so it is refused."""
    path = tmp_path_factory.mktemp("wire") / "file"
    path.write_bytes(LARGE)
    with path.open("r+b") as file:
        socket.send_fds(ends[0], [b"\1O"], [file.fileno()])
        with pytest.raises(OSError, match=r"."):
            wire.receive(ends[1])
