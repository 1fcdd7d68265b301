"""Columns of a table on its way through JSON: their SQL types, and the header of a page."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from rxsql.errors import ScriptError

# What a column or parameter may be; what is not here has no place in a DataFrame.
INTEGERS = frozenset({"tinyint", "smallint", "int"})
FLOATS = frozenset({"real", "float"})
DECIMALS = frozenset({"decimal", "numeric", "money", "smallmoney"})
TEXTS = frozenset({"char", "varchar", "text", "nchar", "nvarchar", "ntext", "uniqueidentifier", "xml"})
BINARIES = frozenset({"binary", "varbinary", "image", "timestamp", "rowversion"})
MOMENTS = frozenset({"datetime", "smalldatetime", "datetime2"})
TYPES = INTEGERS | FLOATS | DECIMALS | TEXTS | BINARIES | MOMENTS | {"bit", "bigint"}
TYPES |= {"date", "time", "datetimeoffset"}

# The same under the names that PostgreSQL and the SQL standard have for them.
_SYNONYMS = {
    "boolean": "bit",
    "bool": "bit",
    "integer": "int",
    "double precision": "float",
    "double": "float",
    "sysname": "nvarchar",
    "character": "char",
    "character varying": "varchar",
    "bytea": "varbinary",
    "blob": "varbinary",
    "uuid": "uniqueidentifier",
    "json": "nvarchar",
    "jsonb": "nvarchar",
    "timestamp without time zone": "datetime2",
    "timestamp with time zone": "datetimeoffset",
    "timestamptz": "datetimeoffset",
    "time without time zone": "time",
    "dec": "decimal",
}
_DECLARED = re.compile(
    r"\s*([A-Za-z][A-Za-z0-9_ ]*?)\s*(?:\(\s*(max|\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*", re.IGNORECASE
)
MAX = -1  # the length of varchar(max)


@dataclass(frozen=True, slots=True)
class SqlColumn:
    """A column or parameter.

    Args:
        name: Its name, as it is; names may repeat, and be empty.
        type: The SQL type's name in lower case, one of `TYPES`.
        size: Length or precision; -1 is max, None what the type's own is.
        scale: Digits behind the point.
    """

    name: str
    type: str
    size: int | None = None
    scale: int | None = None

    @classmethod
    def declared(cls, name: str, declaration: str) -> SqlColumn:
        """Return a column by its type's declaration.

        Raises:
            ScriptError: There is no such type.

        Example:
            >>> SqlColumn.declared("price", "DECIMAL(10, 2)")
            SqlColumn(name='price', type='decimal', size=10, scale=2)
        """
        found = _DECLARED.fullmatch(declaration)
        word = " ".join(found[1].lower().split()) if found else ""
        type_name = _SYNONYMS.get(word, word)
        if found is None or type_name not in TYPES:
            raise ScriptError(
                f"The type {declaration!r} of {name!r} cannot be handed to a script. Convert it in the query, for "
                "example to nvarchar(max)."
            )
        size = None if found[2] is None else MAX if found[2].lower() == "max" else int(found[2])
        return cls(name, type_name, size, None if found[3] is None else int(found[3]))


def dump_header(columns: list[SqlColumn]) -> str:
    """Return the header of a page: an array of [name, type, size, scale]."""
    return json.dumps([[c.name, c.type, c.size, c.scale] for c in columns], ensure_ascii=False)


def parse_header(header: str) -> list[SqlColumn]:
    """Return the columns of a header; a type may stand with its size in it.

    Raises:
        ScriptError: It is no header.
    """
    try:
        entries = json.loads(header)
        return [_column(*entry) for entry in entries]
    except (ValueError, TypeError, AttributeError) as error:
        raise ScriptError(f"The header of the data is damaged: {error}. It is {header[:200]!r}.") from None


def _column(name: str, type_name: str, size: int | None = None, scale: int | None = None) -> SqlColumn:
    declared = SqlColumn.declared(str(name), type_name)
    return SqlColumn(
        declared.name, declared.type, declared.size if size is None else size, scale or declared.scale
    )
