"""Finds and splits the SQL files: in the installed package, or beside it in a checkout."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_GO = re.compile(r"^GO[ \t]*$", re.MULTILINE)
_STATEMENT = re.compile(r"(?:\$\$.*?\$\$|^BEGIN$.*?^END\b|[^;]|;(?!\s*$))+", re.DOTALL | re.MULTILINE)
_PACKAGED = Path(__file__).parent.parent / "sql"
_CHECKOUT = Path(__file__).parent.parent.parent / "sql"
_SCRIPT = ("schema.sql", "views.sql", "procedures/*.sql", "roles.sql")


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
    files = (file for pattern in _SCRIPT for file in sorted((sql_root() / dialect).glob(pattern)))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def statements(text: str) -> list[str]:
    """Split a script into what is sent at once, dropping comment lines.

    A script with lines that are just GO is split there, into batches; another at the semicolons that end its lines,
    except between $$ and $$, and between lines that are BEGIN and END (of a trigger).
    """
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    parts = _GO.split(bare) if _GO.search(bare) else _STATEMENT.findall(bare)
    return [part.strip() for part in parts if part.strip()]
