"""Text as every database takes it."""

from __future__ import annotations

import json
from typing import overload

_NUL = "\N{SYMBOL FOR NULL}"


@overload
def readable(text: str) -> str: ...
@overload
def readable(text: None) -> None: ...
def readable(text: str | None) -> str | None:
    """Return text without what no database takes as text: NUL characters, and halves of surrogate pairs."""
    if not text or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", _NUL).encode(errors="replace").decode()


def json_lines(text: str) -> str:
    r"""Return a readable text's lines as a JSON array.

    Example:
        >>> json_lines("one\ntwo")
        '["one", "two"]'
    """
    text = readable(text)
    quoted = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", '", "')
    if quoted.isprintable():  # as most text is, by the megabyte; so it has nothing else to be escaped
        return f'["{quoted}"]'
    return json.dumps(text.split("\n"), ensure_ascii=False)
