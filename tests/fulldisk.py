"""A worker on a disk that is full while a file is there: `python fulldisk.py the-file ARGUMENTS-OF-THE-WORKER`.

SQLite is told that its file may not grow, and answers as it does where the disk is full.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import sqlalchemy as sa

UNLIMITED = 2**30


def fill_while(mark: str) -> Callable[[sa.Connection], None]:
    """Let no SQLite file grow in this process while the file `mark` is there; return what listens."""

    def limit(connection: sa.Connection) -> None:
        pages = 1 if os.path.exists(mark) else UNLIMITED  # no less than there are
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(sa.Engine, "begin", limit)
    return limit


if __name__ == "__main__":
    from rxsql.worker.__main__ import main

    fill_while(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
