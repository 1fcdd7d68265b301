"""The only module that pickles: functions, inputs, results and exceptions as framed bytes, and back.

A frame is a small plain header (format, codec, Python version, length of a JSON part) and a body. The header is read
before anything is unpickled, so a payload of another Python minor version is refused by name, not by a crash.
"""

from __future__ import annotations

import io
import json
import pickle
import platform
import struct
import sys
import sysconfig
import traceback
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from rxsql.errors import PayloadError, PayloadVersionError, RemoteTraceback, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

MAGIC = b"RXP1"
_FRAME = struct.Struct("<4sBBBxI")
_PLAIN, _ZSTD = 0, 1
_COMPRESS_ABOVE = 64 * 1024
_SAMPLE = 32 * 1024
_HERE = sys.version_info[:2]
PYTHON = f"{_HERE[0]}.{_HERE[1]}"


@dataclass(frozen=True, slots=True)
class Header:
    """What a frame says of itself before its body is touched."""

    codec: int
    python: str
    details: dict[str, str]


# ---------------------------------------------------------------------------------------------------- frames


def frame(body: bytes, details: Mapping[str, str] | None = None) -> bytes:
    """Put `body` behind a header, compressed where that pays."""
    codec, packed = _compress(body)
    extra = json.dumps(details).encode() if details else b""
    return _FRAME.pack(MAGIC, codec, *_HERE, len(extra)) + extra + packed


def read_header(payload: bytes | memoryview) -> Header:
    """Read a frame's header without unpickling anything.

    Raises:
        PayloadError: The bytes are not a frame of this format.
    """
    return _split(payload)[0]


def _split(payload: bytes | memoryview) -> tuple[Header, memoryview]:
    view = memoryview(payload)
    if len(view) < _FRAME.size or view[:4] != MAGIC:
        raise PayloadError("The stored payload is damaged: it does not begin as a payload of rxsql does. Submit again.")
    _, codec, major, minor, length = _FRAME.unpack_from(view)
    start = _FRAME.size + length
    try:
        details = json.loads(bytes(view[_FRAME.size : start])) if length else {}
    except ValueError:
        raise PayloadError("The stored payload is damaged: its header cannot be read. Submit again.") from None
    return Header(codec, f"{major}.{minor}", details), view[start:]


def _body(payload: bytes | memoryview) -> bytes | memoryview:
    header, body = _split(payload)
    if header.python != PYTHON:
        raise PayloadVersionError(header.python, PYTHON)
    if header.codec == _PLAIN:
        return body
    import zstandard  # noqa: PLC0415 - only large payloads need it

    try:
        return zstandard.ZstdDecompressor().decompress(body)
    except zstandard.ZstdError as error:
        raise PayloadError(f"The stored payload is damaged: {error}. Submit again.") from None


def _compress(body: bytes) -> tuple[int, bytes]:
    if len(body) < _COMPRESS_ABOVE:
        return _PLAIN, body
    middle = len(body) // 2
    sample = body[middle : middle + _SAMPLE]
    # Random-looking data would only cost time: a sample from the middle tells.
    if len(zlib.compress(sample, 1)) > 0.9 * len(sample):
        return _PLAIN, body
    import zstandard  # noqa: PLC0415

    return _ZSTD, zstandard.ZstdCompressor(level=1).compress(body)


# ---------------------------------------------------------------------------------------------------- values


class Dumper:
    """Pickles many small values one after the other; cheaper than a new pickler each. Use it inside `by_value`."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._pickler = cloudpickle.Pickler(self._buffer, protocol=5)

    def dump(self, value: Any) -> bytes:
        """Return `value` as a frame; the pickler's own exception when it cannot be pickled."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._pickler.clear_memo()
        self._pickler.dump(value)
        return frame(self._buffer.getvalue())


def dump(value: Any) -> bytes:
    """Return one value as a frame; the pickler's own exception when it cannot be pickled."""
    with by_value():
        return frame(cloudpickle.dumps(value, protocol=5))


def load(payload: bytes | memoryview) -> Any:
    """Return the value of a frame.

    Raises:
        PayloadVersionError: Another Python minor version made it; nothing was unpickled.
        PayloadError: The frame or its body is damaged.
        ImportError: The value needs a module that is missing here.
    """
    body = _body(payload)
    try:
        return pickle.loads(body)
    except ImportError:
        raise
    except Exception as error:
        raise PayloadError(f"The stored payload cannot be unpickled: {type(error).__name__}: {error}") from error


# ------------------------------------------------------------------------------------------------- functions


def dump_function(function: Callable[..., Any], local_state: Mapping[str, Any]) -> bytes:
    """Return the function and the globals that travel with it as one frame.

    Raises:
        PayloadError: It cannot be pickled; the message names the variable that stands in the way.
    """
    details = {"cloudpickle": cloudpickle.__version__, "platform": platform.system(), **_library_versions()}
    try:
        with by_value():
            body = cloudpickle.dumps((function, dict(local_state)), protocol=5)
    except Exception as error:
        culprit = _culprit(function, local_state)
        raise PayloadError(
            f"The function {name_of(function)!r} cannot be pickled{culprit}: {type(error).__name__}: {error}. "
            "Create such objects inside the function instead."
        ) from error
    return frame(body, details)


def load_function(payload: bytes) -> Callable[..., Any]:
    """Return a function with its `local_state` among its globals; errors as in `load`."""
    function, local_state = load(payload)
    if local_state:
        namespace = getattr(function, "__globals__", None)
        if namespace is not None:
            namespace.update(local_state)
    return function  # type: ignore[no-any-return]


def name_of(function: Any) -> str:
    """Return the name a person would call the function by."""
    inner = getattr(function, "func", function)
    return getattr(inner, "__name__", None) or type(function).__name__


def is_picklable(value: Any) -> bool:
    """Whether `value` can travel."""
    try:
        dump(value)
    except Exception:  # noqa: BLE001 - a user's __reduce__ may raise anything
        return False
    return True


def _culprit(function: Any, local_state: Mapping[str, Any]) -> str:
    code = getattr(function, "__code__", None)
    namespace = getattr(function, "__globals__", {})
    closure = getattr(function, "__closure__", None) or ()
    candidates: list[tuple[str, Any]] = [(f"local_state[{name!r}]", value) for name, value in local_state.items()]
    if code is not None:
        for name, cell in zip(code.co_freevars, closure, strict=False):
            try:
                candidates.append((f"its variable {name!r}", cell.cell_contents))
            except ValueError:  # the cell is still empty
                continue
        candidates += [(f"the global {name!r}", namespace[name]) for name in code.co_names if name in namespace]
    for label, value in candidates:
        if not is_picklable(value):
            return f" because of {label} (a {type(value).__name__})"
    return ""


@lru_cache(maxsize=1)
def _library_versions() -> dict[str, str]:
    found = {}
    for name in ("numpy", "pandas"):
        module = sys.modules.get(name)
        if module is not None:
            found[name] = str(getattr(module, "__version__", "?"))
    return found


# -------------------------------------------------------------------------- what travels by value, and by name


@contextmanager
def by_value() -> Iterator[None]:
    """Pickle what lies in the user's own modules by value: the worker cannot import them.

    Modules of the standard library, of site-packages and of rxsql go by name. The registry is cloudpickle's and
    global, so what was not registered before is taken out again.
    """
    mine = [module for module in _user_modules() if module.__name__ not in cloudpickle.list_registry_pickle_by_value()]
    for module in mine:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in mine:
            cloudpickle.unregister_pickle_by_value(module)


_seen: tuple[int, list[ModuleType]] = (-1, [])


def _user_modules() -> list[ModuleType]:
    global _seen  # noqa: PLW0603 - a cache keyed by how many modules there are
    if _seen[0] != len(sys.modules):
        modules = [module for module in list(sys.modules.values()) if _is_users(module)]
        _seen = (len(sys.modules), modules)
    return _seen[1]


def _is_users(module: Any) -> bool:
    name = getattr(module, "__name__", None)
    if not isinstance(name, str) or name == "__main__" or sys.modules.get(name) is not module:
        return False
    if name.partition(".")[0] in ("rxsql", "revoscalepy"):
        return False
    path = getattr(module, "__file__", None)
    return isinstance(path, str) and not path.startswith(_installed_places())


@lru_cache(maxsize=1)
def _installed_places() -> tuple[str, ...]:
    import site  # noqa: PLC0415

    paths = set(sysconfig.get_paths().values()) | set(site.getsitepackages()) | {site.getusersitepackages()}
    paths |= {str(Path(sys.base_prefix) / "lib"), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    paths.discard(sysconfig.get_path("data"))  # the prefix itself, which may hold a user's project
    return (*(f"{path}/" for path in sorted(paths)), "<frozen")


# ------------------------------------------------------------------------------------------------ exceptions


@dataclass(frozen=True, slots=True)
class DumpedError:
    """An exception on its way to the client: readable texts, and its payload when it can travel."""

    text: str
    traceback: str
    payload: bytes | None


def dump_error(error: BaseException, *, skip_frames: int = 0) -> DumpedError:
    """Return an exception as text, traceback and payload; never raises for a strange exception.

    Args:
        error: The exception, with its traceback.
        skip_frames: Frames of the worker's own code above the user's that are left out.
    """
    where = error.__traceback__
    for _ in range(skip_frames):
        where = where.tb_next if where is not None and where.tb_next is not None else where
    try:
        text = f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(type(error), error, where))
    except Exception:  # noqa: BLE001 - an exception's __str__ may raise anything
        text = type(error).__name__
        trace = f"{text} (its own text could not be made)\n"
    try:
        payload = dump(error.with_traceback(None))
        load(payload)  # an exception that cannot be rebuilt must be noticed here, not at the client
    except Exception:  # noqa: BLE001
        payload = None
    return DumpedError(text[:4000], trace, payload)


def load_error(text: str, trace: str | None, payload: bytes | None) -> BaseException:
    """Return a run's exception with the worker's traceback as its cause."""
    error: BaseException | None = None
    if payload is not None:
        try:
            loaded = load(payload)
        except Exception as failure:  # noqa: BLE001
            error = RunError(f"{text} (the exception object could not be rebuilt here: {failure})")
        else:
            error = loaded if isinstance(loaded, BaseException) else None
    if error is None:
        error = RunError(text)
    if trace:
        error.__cause__ = RemoteTraceback(trace)
    return error
