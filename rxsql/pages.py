"""Tables between store, supervisor, child and client: pages of text, and a spool that holds any number of them."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rxsql.sections import Descriptor, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

IN, OUT, PARAM = "in", "out", "param"
_DIRECTIONS = frozenset({IN, OUT, PARAM})
_HEAD = struct.Struct("<5sIIIQ")  # direction, page, rows, bytes of the header, bytes of the body
_IN_MEMORY = 2**20  # bytes; beyond, a file, of which a process may have few


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a table: its header is the same in all of the table's pages."""

    direction: str
    page: int
    row_count: int
    header: str
    body: str


class Spool:
    """Packed pages, to be read as often as one likes: in memory while they are few, beyond that in a file.

    So neither the process that makes a table nor one that hands it on has all its text at once.
    """

    def __init__(self, pages: Iterable[Page] = ()) -> None:
        self._small = bytearray()
        self._file: Descriptor | None = None
        self._size = 0
        for page in pages:
            self.add(page)

    @classmethod
    def of(cls, data: bytes | memoryview) -> Self:
        """Return the pages of a spool's bytes."""
        spool = cls()
        spool._small += data
        spool._size = len(data)
        return spool

    @classmethod
    def received(cls, file: Descriptor) -> Self:
        """Return the pages that another process has written to a file."""
        spool = cls()
        spool._file, spool._size = file, os.fstat(file.fd).st_size
        return spool

    def add(self, page: Page) -> None:
        """Put a page behind the others."""
        data = _packed(page)
        if self._file is None and self._size + len(data) > _IN_MEMORY:
            self._file = Descriptor.temporary()
            write_all(self._file.fd, self._small)
            self._small.clear()
        if self._file is None:
            self._small += data
        else:
            write_all(self._file.fd, data)
        self._size += len(data)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Page]:
        """Yield the pages.

        Raises:
            ValueError: These are none, or somebody has changed the file.
        """
        file = self._file
        if file is None:
            return unpack(self._small)
        return _pages(lambda at, size: _read(file.fd, at, size), self._size)

    @property
    def file(self) -> Descriptor | None:
        """The file, where there is one: what it holds is what `unpack` takes."""
        return self._file

    @property
    def data(self) -> bytes:
        """The packed pages, where there is no file."""
        return bytes(self._small)


def unpack(data: bytes | bytearray | memoryview) -> Iterator[Page]:
    """Yield the pages of a spool's bytes; their text is not looked at.

    Raises:
        ValueError: These are no such bytes.
    """
    return _pages(lambda at, size: bytes(data[at : at + size]), len(data))


def _packed(page: Page) -> bytes:
    header, body = page.header.encode(errors="replace"), page.body.encode(errors="replace")
    head = _HEAD.pack(page.direction.encode(), page.page, page.row_count, len(header), len(body))
    return b"".join((head, header, body))


def _pages(read: Callable[[int, int], bytes], end: int) -> Iterator[Page]:
    at = 0
    while at < end:
        if at + _HEAD.size > end:
            raise ValueError("a page is cut off")
        kind, number, row_count, header, body = _HEAD.unpack(read(at, _HEAD.size))
        direction = kind.rstrip(b"\0").decode(errors="replace")
        start, at = at + _HEAD.size, at + _HEAD.size + header + body
        if direction not in _DIRECTIONS or at > end:
            raise ValueError("this is no page")
        texts = (read(start, header), read(start + header, body))
        yield Page(direction, number, row_count, *(text.decode(errors="replace") for text in texts))


def _read(fd: int, at: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.pread(fd, size, at)
        if not part:
            raise ValueError("the file was cut off")
        parts.append(part)
        at, size = at + len(part), size - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
