"""The write-ahead log of an SQLite store, as those see it who wait for a commit.

The system tells them that somebody writes to it, but not of the commit, which comes when the disk is synced. So rxsql
knocks after a commit that others may be waiting for: it opens the log, and closes it again. Where they may see the
commit before the disk has it, the disk is synced afterwards.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SYNC_DATA: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # not on macOS


def log_of(path: Path) -> str:
    """Return the path of a store's log."""
    return f"{path}-wal"


def knock(log: str) -> None:
    """Tell those who wait that there was a commit."""
    # To close a file ends the locks that this process has on it; SQLite has none on its log.
    with suppress(OSError):
        os.close(os.open(log, os.O_RDONLY))


def sync(log: str, *, is_new: bool) -> None:
    """Have the disk take all that was written to a log.

    Args:
        log: Its path.
        is_new: Whether it may have been made lately, and its folder is to be synced, too.

    Raises:
        OSError: The disk cannot.
    """
    _sync(log, os.O_RDWR, _SYNC_DATA)  # open for writing: to close it is no knock then
    if is_new:
        sync_folder(Path(log).parent)


def sync_folder(folder: Path) -> None:
    """Have the disk take which files there are in a folder."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY, os.fsync)


def _sync(path: Path | str, flags: int, how: Callable[[int], None]) -> None:
    fd = os.open(path, flags)
    try:
        how(fd)
    finally:
        os.close(fd)
