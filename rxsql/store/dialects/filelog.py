"""The write-ahead log of an SQLite store, as those see it who wait for a commit.

The system tells them that somebody writes to it, but not of the commit, which comes when the disk is synced. So rxsql
knocks after a commit that others may be waiting for: it opens the log, and closes it again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def log_of(path: Path) -> str:
    """Return the path of a store's log."""
    return f"{path}-wal"


def knock(log: str) -> None:
    """Tell those who wait that there was a commit."""
    # To close a file ends the locks that this process has on it; SQLite has none on its log.
    with suppress(OSError):
        os.close(os.open(log, os.O_RDONLY))
