"""Values as frames, and back."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

from rxsql.errors import PayloadError
from rxsql.payload.frames import body_of, frame, small_body_of
from rxsql.payload.modules import by_value
from rxsql.payload.pickling import Pickler, Source, Unpickler

if TYPE_CHECKING:
    from collections.abc import Mapping


# What every pickler makes the same bytes of, so that the quickest one will do.
_PLAIN = frozenset({bool, bytes, float, int, str, type(None)})
_STACK_GLOBAL = b"\x93"  # the only way to a name in what our picklers make


class Dumper:
    """Pickles many small values one after the other; cheaper than a new pickler each. Use it inside `by_value`."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._pickler = Pickler(self._buffer, protocol=5)

    def dump(self, value: Any, details: Mapping[str, str] | None = None) -> bytes:
        """Return `value` as a frame; the pickler's own exception when it cannot be pickled."""
        if _is_plain(value):
            return frame(pickle.dumps(value, protocol=5), details)
        self._buffer.seek(0)
        self._buffer.truncate()
        self._pickler.clear_memo()
        self._pickler.dump(value)
        return frame(self._buffer.getvalue(), details)


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return _PLAIN.issuperset(map(type, value.values())) and _PLAIN.issuperset(map(type, value))
    return kind in _PLAIN


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
    small = small_body_of(payload)
    body = body_of(payload) if small is None else small
    try:
        if small is not None and _STACK_GLOBAL not in small:
            return pickle.loads(small)
        source: Any = Source(body) if isinstance(body, memoryview) else io.BytesIO(body)
        return Unpickler(source).load()
    except ImportError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise PayloadError(f"The stored payload cannot be unpickled: {reason}") from error
