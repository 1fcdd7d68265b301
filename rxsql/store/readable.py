"""Text as every database takes it."""

from __future__ import annotations

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
