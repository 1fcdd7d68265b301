"""Finds and splits the SQL files: in the installed package, or beside it in a checkout."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_PACKAGED = Path(__file__).parent.parent / "sql"
_CHECKOUT = Path(__file__).parent.parent.parent / "sql"


def sql_root() -> Path:
    """Return the folder that has a folder a dialect."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


@cache
def query(dialect: str, name: str) -> str:
    """Return the statement `queries/<name>.sql` of a dialect, without its comment lines."""
    text = (sql_root() / dialect / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return "\n".join(lines).strip().removesuffix(";")


def script(dialect: str) -> str:
    """Return all that installs the schema, as one text a DBA can read and run."""
    folder = sql_root() / dialect
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in ("schema.sql", "views.sql"))


def statements(text: str) -> list[str]:
    """Split a script at the semicolons that end its lines, dropping comment lines."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [part.strip() for part in re.split(r";\s*$", bare, flags=re.MULTILINE) if part.strip()]
