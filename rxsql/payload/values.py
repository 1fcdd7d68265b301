"""Values as frames, and back."""

from __future__ import annotations

import io

# By bare names: a child has one more page of memory to copy for each module that it looks into.
from pickle import dumps, loads
from sys import getsizeof
from typing import TYPE_CHECKING, Any

from rxsql.errors import PayloadError
from rxsql.payload import plainfunctions
from rxsql.payload.frames import body_of, frame, frame_pieces, small_body_of
from rxsql.payload.modules import by_value
from rxsql.payload.pickling import Pickler, Sink, Source, Unpickler
from rxsql.sections import Pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


# What every pickler makes the same bytes of, so that the quickest one will do.
_PLAIN = frozenset({bool, bytes, float, int, str, type(None)})
_LONG = frozenset({bytes, str})
_LARGE = 64 * 1024
_STACK_GLOBAL = b"\x93"  # the only way to a name in what our picklers make


class Dumper:
    """Pickles many small values one after the other; cheaper than a new pickler each."""

    _pickler: Pickler | None = None  # made when a value needs it; plain ones do not
    _sink: Sink

    def dump(self, value: Any, details: Mapping[str, str] | None = None) -> bytes:
        """Return `value` as a frame; the pickler's own exception when it cannot be pickled."""
        if _is_plain(value):
            return frame(dumps(value, protocol=5), details)
        return b"".join(frame_pieces(self._pieces(value), details))

    def pieces(self, value: Any) -> bytes | Pieces:
        """Return `value` as a frame, a large one in pieces; errors as of `dump`."""
        if _is_plain(value):
            return frame(dumps(value, protocol=5))
        made = Pieces(frame_pieces(self._pieces(value)))
        return made if len(made) > _LARGE else bytes(made)

    def _pieces(self, value: Any) -> list[bytes]:
        pickler, self._pickler = self._pickler, None  # one that failed is not used again
        if pickler is None:
            self._sink = Sink()
            pickler = Pickler(self._sink, protocol=5)
        pickler.clear_memo()
        try:
            with by_value():
                pickler.dump(value)
            self._pickler = pickler
            return [*self._sink.pieces]
        finally:
            self._sink.pieces.clear()


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        kinds = {*map(type, value.values())}
        is_plain = kinds <= _PLAIN and _PLAIN.issuperset(map(type, value))
        return is_plain and (kinds.isdisjoint(_LONG) or not _is_large(value.values()))
    return kind in _PLAIN and not (kind in _LONG and _is_large((value,)))


def _is_large(values: Iterable[Any]) -> bool:
    """Whether the quickest pickler would copy large values once more than the other."""
    return max(map(getsizeof, values)) > _LARGE


def dump(value: Any, details: Mapping[str, str] | None = None) -> bytes:
    """Return one value as a frame; the pickler's own exception when it cannot be pickled."""
    return Dumper().dump(value, details)


def is_picklable(value: Any) -> bool:
    """Whether `value` can travel."""
    try:
        dump(value)
    except Exception:  # noqa: BLE001 - a user's __reduce__ may raise anything
        return False
    return True


def load(payload: bytes | memoryview) -> Any:
    """Return the value of a frame; a plain function as the first of a pair, as functions travel.

    Raises:
        PayloadVersionError: Another Python minor version made it; nothing was unpickled.
        PayloadError: The frame is damaged (nothing was unpickled), or its value cannot be rebuilt here.
        ImportError: The value needs a module that is missing here.
    """
    small = small_body_of(payload)
    body = body_of(payload) if small is None else small
    try:
        if body[:1] == plainfunctions.MARK:
            return plainfunctions.load(body), {}
        if small is not None and small.find(_STACK_GLOBAL) < 0:  # `in` would first try it as a number
            return loads(small)
        source: Any = (
            Source(body) if isinstance(body, memoryview) and len(body) > _LARGE else io.BytesIO(body)
        )
        return Unpickler(source).load()
    except ImportError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise PayloadError(f"The stored payload cannot be unpickled: {reason}") from error
