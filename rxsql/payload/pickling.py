"""cloudpickle with two things more: caching functions travel, and classes that are at home here stay as they are."""

from __future__ import annotations

import functools
import pickle
import sys
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as dynamic

from rxsql.payload.modules import is_users

_CachingFunction: Any = type(functools.lru_cache(lambda: None))
_DYNAMIC = dynamic.__name__
_INSTEAD = {  # cloudpickle's functions, and the Unpickler's
    "_make_skeleton_class": "_make_class",
    "_make_skeleton_enum": "_make_enum",
    "_class_setstate": "_set_state",
}


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles functions under `functools.lru_cache` by what they wrap, where they cannot go by name."""

    def reducer_override(self, obj: Any) -> Any:
        """Return how an object is rebuilt, or NotImplemented for pickle's own way."""
        if isinstance(obj, _CachingFunction) and _is_from_here(obj):
            return _cached, (obj.__wrapped__, obj.cache_parameters())
        reduced = super().reducer_override(obj)
        if isinstance(reduced, tuple) and reduced[0] is dynamic._make_skeleton_class:  # noqa: SLF001
            # cloudpickle leaves the last argument to extensions; the receiver must know a nested class for what it is.
            return reduced[0], (*reduced[1][:-1], {"qualname": obj.__qualname__}), *reduced[2:]
        return reduced


def _cached(function: Any, parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _is_from_here(function: Any) -> bool:
    """Whether the worker cannot import a function by its name."""
    module = sys.modules.get(function.__module__)
    is_named = _find(module, function.__qualname__) is function
    return not is_named or module is sys.modules.get("__main__") or is_users(module)


class Sink:
    """A file for a pickler: what it writes, piece by piece; of large bytes no copy is made."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Take a piece; what others may change is copied."""
        self.pieces.append(bytes(piece))


class Source:
    """A view as a file for an unpickler, which takes large values out of it without a copy in between."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        start = self._position
        self._position = len(self._body) if size < 0 else min(len(self._body), start + size)
        return bytes(self._body[start : self._position])

    def readinto(self, target: bytearray | memoryview) -> int:
        """Fill `target` with the next bytes; return how many they were."""
        start = self._position
        self._position = min(len(self._body), start + len(target))
        target[: self._position - start] = self._body[start : self._position]
        return self._position - start

    def readline(self) -> bytes:
        """Return what is left of the line."""
        start = self._position
        rest = bytes(self._body[start:])
        return self.read(rest.find(b"\n") + 1 or len(rest))


class Unpickler(pickle.Unpickler):
    """Takes a class that this process has already for itself, and does not change it.

    A class that travelled by value comes back with every object of it. cloudpickle knows it again, but would replace
    its methods and attributes by those that came; and in another process than the one that sent it, it would make a
    second class beside the one in the user's module.
    """

    _at_home: tuple[type, ...] = ()

    def find_class(self, module: str, name: str, /) -> Any:
        """Return what a name in the stream stands for."""
        if module == _DYNAMIC and name in _INSTEAD:
            return getattr(self, _INSTEAD[name])
        return super().find_class(module, name)

    def _make_class(self, *arguments: Any) -> type:
        _, name, _, options, tracker_id, extra = arguments
        qualname = (extra or {}).get("qualname", name)
        known = self._known(tracker_id, options.get("__module__"), qualname)
        if known is not None:
            return known
        made: type = dynamic._make_skeleton_class(*arguments)  # noqa: SLF001
        made.__qualname__ = qualname
        return made

    def _make_enum(self, *arguments: Any) -> type:
        _, _, qualname, _, module, tracker_id, _ = arguments
        known = self._known(tracker_id, module, qualname)
        return dynamic._make_skeleton_enum(*arguments) if known is None else known  # noqa: SLF001

    def _known(self, tracker_id: Any, module_name: Any, qualname: str) -> type | None:
        known = dynamic._DYNAMIC_CLASS_TRACKER_BY_ID.get(tracker_id)  # noqa: SLF001
        if known is None:
            module = sys.modules.get(module_name)
            known = _find(module, qualname) if is_users(module) else None
        if not isinstance(known, type):
            return None
        self._at_home = (*self._at_home, known)
        return known

    def _set_state(self, made: type, state: Any) -> type:
        is_at_home = any(made is known for known in self._at_home)
        return made if is_at_home else dynamic._class_setstate(made, state)  # noqa: SLF001


def _find(module: Any, qualname: str) -> Any:
    found = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found
