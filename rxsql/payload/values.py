"""Values as frames, and back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rxsql.errors import PayloadError
from rxsql.payload.frames import body_of, frame
from rxsql.payload.modules import by_value
from rxsql.payload.pickling import Pickler, Unpickler

if TYPE_CHECKING:
    from collections.abc import Mapping


class Dumper:
    """Pickles many small values one after the other; cheaper than a new pickler each. Use it inside `by_value`."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._pickler = Pickler(self._buffer, protocol=5)

    def dump(self, value: Any, details: Mapping[str, str] | None = None) -> bytes:
        """Return `value` as a frame; the pickler's own exception when it cannot be pickled."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._pickler.clear_memo()
        self._pickler.dump(value)
        return frame(self._buffer.getvalue(), details)


def dump(value: Any, details: Mapping[str, str] | None = None) -> bytes:
    """Return one value as a frame; the pickler's own exception when it cannot be pickled."""
    with by_value():
        return Dumper().dump(value, details)


def is_picklable(value: Any) -> bool:
    """Whether `value` can travel."""
    try:
        dump(value)
    except Exception:  # noqa: BLE001 - a user's __reduce__ may raise anything
        return False
    return True


def load(payload: bytes | memoryview) -> Any:
    """Return the value of a frame.

    Raises:
        PayloadVersionError: Another Python minor version made it; nothing was unpickled.
        PayloadError: The frame is damaged (nothing was unpickled), or its value cannot be rebuilt here.
        ImportError: The value needs a module that is missing here.
    """
    body = body_of(payload)
    try:
        return Unpickler(io.BytesIO(body)).load()
    except ImportError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise PayloadError(f"The stored payload cannot be unpickled: {reason}") from error
