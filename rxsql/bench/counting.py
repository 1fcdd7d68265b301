"""`python -m rxsql.bench.counting`: a worker as a process that writes down how many statements it has sent.

For measurements only; `rxsql.worker` is the same without the counting.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rxsql.settings import Settings
from rxsql.store import counting
from rxsql.store.engine import open_store
from rxsql.worker.__main__ import run

if TYPE_CHECKING:
    from collections.abc import Sequence

_COUNT = struct.Struct("<Q")


def read(path: Path) -> int:
    """Return how many statements a worker has sent, from the file it writes."""
    return int(_COUNT.unpack(path.read_bytes())[0])


class _Tally(list[str]):
    """Forgets the statements, and keeps their number in a file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        path.write_bytes(_COUNT.pack(0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _COUNT.size)
        self._count = 0

    def append(self, _statement: str) -> None:
        """Count one more."""
        self._count += 1
        self._map[:] = _COUNT.pack(self._count)


def main(arguments: Sequence[str]) -> int:
    """Run a worker: the path of the file, and the descriptor that is told when it is ready."""
    path, ready_fd = arguments
    settings = Settings.from_environment()
    with counting.counted(open_store(settings.store or None)) as sent:
        sent.statements = _Tally(Path(path))
        return run(settings, ready_fd=int(ready_fd))


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
