"""Files that are handed from process to process, and large values in them."""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Descriptor:
    """An open file, which is closed with its last holder."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def temporary(cls) -> Self:
        """Return a new file without a name, which is gone with its last holder."""
        with tempfile.TemporaryFile(buffering=0) as file:
            return cls(os.dup(file.fileno()))

    def __del__(self) -> None:
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class Section:
    """Consecutive bytes of a file that nobody changes any more: a value that is in no process's memory yet."""

    file: Descriptor
    start: int
    size: int

    def __len__(self) -> int:
        return self.size

    def head(self, size: int) -> bytes:
        """Return the first bytes, at most so many."""
        return os.pread(self.file.fd, min(size, self.size), self.start)

    def read(self) -> bytes:
        """Return a copy of the bytes."""
        return bytes(self.view())

    def view(self) -> memoryview:
        """Return the bytes, as pages of the file that all its readers share."""
        before = self.start % mmap.ALLOCATIONGRANULARITY
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        mapped = mmap.mmap(
            self.file.fd, before + self.size, flags, mmap.PROT_READ, offset=self.start - before
        )
        return memoryview(mapped)[before:]


class Pieces:
    """A large value in pieces that stay where they were made: it is written without having been put together."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = tuple(pieces)
        self._size = sum(map(len, self._pieces))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)


def write_all(fd: int, data: bytes | bytearray | memoryview | Pieces) -> None:
    """Write to a file, in as many calls as it takes: one writes no more than 2 GB."""
    for piece in data if isinstance(data, Pieces) else (data,):
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]
