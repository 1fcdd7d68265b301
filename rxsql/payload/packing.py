"""Plain values as bytes and back, by one call each: between the processes of one worker, which share one Python.

A child pays for each thing that it uses for the first time.
"""

from __future__ import annotations

from marshal import dumps, loads
from typing import Any


def pack(values: tuple[Any, ...]) -> bytes:
    """Return plain values as bytes."""
    return dumps(values)


def unpack(packed: bytes | memoryview) -> tuple[Any, ...]:
    """Return what `pack` took; of bytes that nobody else could have made."""
    return loads(packed)  # type: ignore[no-any-return]  # noqa: S302
