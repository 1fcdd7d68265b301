"""A worker that leaves the number of statements it sent in a file: its first argument; the rest are the worker's own."""

import sys
from pathlib import Path

import sqlalchemy as sa

from rxsql.worker.__main__ import main

if __name__ == "__main__":
    path, sent = Path(sys.argv.pop(1)), []
    sa.event.listen(sa.Engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))
    main()
    path.write_text("\n".join(" ".join(statement.split())[:70] for statement in sent))
