"""How large a payload may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rxsql.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Sized

_Payload = TypeVar("_Payload", bound="Sized")


def checked(payload: _Payload, payload_mb: int, what: str) -> _Payload:
    """Return a payload that is not too large.

    Args:
        payload: The bytes as they would be stored.
        payload_mb: The limit, in MB (2**20 bytes); 0: none.
        what: What it is, to begin a sentence with.

    Raises:
        LimitError: It is larger than the limit.
    """
    if payload_mb and len(payload) > payload_mb * 2**20:
        raise LimitError(
            f"{what} takes {len(payload) / 2**20:,.1f} MB", f"RXSQL_PAYLOAD_MB of {payload_mb} MB"
        )
    return payload
