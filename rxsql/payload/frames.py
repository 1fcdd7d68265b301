"""Frames: bytes behind a plain header that says what they are, and whether they are whole."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import crc32

from rxsql.errors import PayloadError, PayloadVersionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAGIC = b"RXP1"
_HEAD = struct.Struct("<4sBBBxI")  # magic, codec, Python's major and minor version, length of the details
_CHECKSUM = struct.Struct("<I")  # of everything but itself: CRC-32, of large plain bodies half of XXH3
_PLAIN, _ZSTD, _LARGE = range(3)
_COMPRESS_ABOVE = 64 * 1024
_SAMPLE = 32 * 1024
_HERE = sys.version_info[:2]
PYTHON = f"{_HERE[0]}.{_HERE[1]}"
_USUAL_HEAD = _HEAD.pack(MAGIC, _PLAIN, *_HERE, 0)
_USUAL_CHECKSUM = crc32(_USUAL_HEAD)
_LENGTH_AND_CHECKSUM = struct.Struct("<II")
_START = _HEAD.size + _CHECKSUM.size
_USUAL = _USUAL_HEAD[: _START - _LENGTH_AND_CHECKSUM.size]


@dataclass(frozen=True, slots=True)
class Header:
    """What a frame says of itself before its body is touched."""

    codec: int
    python: str
    details: dict[str, str]


def frame(body: bytes, details: Mapping[str, str] | None = None) -> bytes:
    """Put a body behind a header, compressed where that pays."""
    if len(body) < _COMPRESS_ABOVE and not details:  # as most are, by the hundred thousand
        return _USUAL_HEAD + _CHECKSUM.pack(crc32(body, _USUAL_CHECKSUM)) + body
    return b"".join(frame_pieces([body], details))


def frame_pieces(pieces: Sequence[bytes], details: Mapping[str, str] | None = None) -> list[bytes]:
    """Put a body that is in pieces behind a header, compressed where that pays; the pieces are the frame."""
    codec, packed = _compress(pieces)
    extra = _described(tuple(details.items())) if details else b""
    head = _HEAD.pack(MAGIC, codec, *_HERE, len(extra))
    return [head, _CHECKSUM.pack(_checksum(codec, head, extra, *packed)), extra, *packed]


@lru_cache(maxsize=4)  # those of functions, which are the same for a process's life
def _described(details: tuple[tuple[str, str], ...]) -> bytes:
    return json.dumps(dict(details)).encode()


def _checksum(codec: int, *parts: bytes | memoryview) -> int:
    if codec == _LARGE:
        import xxhash  # noqa: PLC0415 - only large payloads need it: it takes a tenth of CRC-32's time

        digest = xxhash.xxh3_64()
        for part in parts:
            digest.update(part)
        return digest.intdigest() & 0xFFFF_FFFF
    checksum = 0
    for part in parts:
        checksum = crc32(part, checksum)
    return checksum


def read_header(payload: bytes | memoryview) -> Header:
    """Read a frame's header; nothing is unpickled.

    Raises:
        PayloadError: The bytes are not a whole frame of this format.
    """
    codec, python, details, _ = _split(payload)
    return Header(codec, python, json.loads(bytes(details)) if details else {})


def body_of(payload: bytes | memoryview) -> bytes | memoryview:
    """Return a frame's body; nothing is unpickled.

    Raises:
        PayloadVersionError: Another Python minor version made it.
        PayloadError: The bytes are not a whole frame of this format.
    """
    codec, python, _, body = _split(payload)
    if python != PYTHON:
        raise PayloadVersionError(python, PYTHON)
    if codec in (_PLAIN, _LARGE):
        return body
    import zstandard  # noqa: PLC0415 - only large payloads need it

    try:
        return zstandard.ZstdDecompressor().decompress(body)
    except (zstandard.ZstdError, MemoryError) as error:
        raise _damaged(str(error) or "it does not fit into memory") from None


def small_body_of(payload: bytes | memoryview) -> bytes | None:
    """Return the body of a whole frame as most are: small, not compressed, made by this Python; None of another."""
    if len(payload) > _COMPRESS_ABOVE or payload[: len(_USUAL)] != _USUAL or len(payload) < _START:
        return None
    length, checksum = _LENGTH_AND_CHECKSUM.unpack_from(payload, len(_USUAL))
    rest = payload[_START:]
    is_whole = crc32(rest, crc32(payload[: _HEAD.size])) == checksum
    return bytes(rest[length:]) if is_whole else None


def _split(payload: bytes | memoryview) -> tuple[int, str, memoryview, memoryview]:
    """Return a whole frame's codec, Python version, details and body."""
    view = memoryview(payload)
    if len(view) < _START or view[: len(MAGIC)] != MAGIC:
        raise _damaged("it does not begin as a payload of rxsql does")
    _, codec, major, minor, length = _HEAD.unpack_from(view)
    (checksum,) = _CHECKSUM.unpack_from(view, _HEAD.size)
    if _checksum(codec, view[: _HEAD.size], view[_START:]) != checksum:
        raise _damaged("its checksum is wrong")
    return codec, f"{major}.{minor}", view[_START : _START + length], view[_START + length :]


def _damaged(why: str) -> PayloadError:
    return PayloadError(f"The stored payload is damaged: {why}. Submit the job again.")


def _compress(pieces: Sequence[bytes]) -> tuple[int, Sequence[bytes]]:
    if sum(map(len, pieces)) < _COMPRESS_ABOVE:
        return _PLAIN, pieces
    largest = max(pieces, key=len)
    middle = len(largest) // 2
    sample = largest[middle : middle + _SAMPLE]
    # Random-looking data would only cost time: a sample from the middle tells.
    if len(zlib.compress(sample, 1)) > 0.9 * len(sample):
        return _LARGE, pieces
    import zstandard  # noqa: PLC0415

    return _ZSTD, [zstandard.ZstdCompressor(level=1).compress(b"".join(pieces))]
