"""What a job is made of: the function with the globals that travel with it, and the arguments of its runs."""

from __future__ import annotations

import functools
import platform
import sys
import types
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cloudpickle

from rxsql.errors import PayloadError
from rxsql.payload import plainfunctions
from rxsql.payload.frames import frame
from rxsql.payload.values import dump, is_picklable, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def dump_function(function: Callable[..., Any], local_state: Mapping[str, Any]) -> bytes:
    """Return the function and the globals that travel with it as one frame.

    Raises:
        PayloadError: It cannot be pickled; the message names the variable that stands in the way.
    """
    details = {"cloudpickle": cloudpickle.__version__, "platform": platform.system(), **_library_versions()}
    try:
        plain = None if local_state else plainfunctions.dump(function)
        return dump((function, dict(local_state)), details) if plain is None else frame(plain, details)
    except Exception as error:
        culprit = _culprit_of_state(local_state) or _culprit(function, set())
        because = f" because of {culprit}" if culprit else ""
        raise PayloadError(
            f"The function {name_of(function)!r} cannot be pickled{because}: {_reason(error)}. "
            "Create such objects inside the function instead."
        ) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".")  # it stands in the middle of a sentence


def load_function(payload: bytes) -> Callable[..., Any]:
    """Return a function with its `local_state` among its globals; errors as in `load`."""
    function, local_state = load(payload)
    for namespace in namespaces_of(function) if local_state else ():
        namespace.update(local_state)
    return function  # type: ignore[no-any-return]


def dump_arguments(arguments: Mapping[str, Any], run: int | None) -> bytes:
    """Return a run's arguments (those of all runs where `run` is None) as a frame.

    Raises:
        PayloadError: One cannot be pickled; the message names it.
    """
    try:
        return dump(dict(arguments))
    except Exception as error:
        raise unpicklable(arguments, run, error) from error


def unpicklable(arguments: Mapping[str, Any], run: int | None, error: Exception) -> PayloadError:
    """Return the error that names the argument which cannot travel."""
    where = "" if run is None else f" of run {run}"
    reason = _reason(error)
    for name, value in arguments.items():
        if not is_picklable(value):
            return PayloadError(
                f"The argument {name!r}{where} (a {type(value).__name__}) cannot be pickled: {reason}. "
                "Pass plain data, and create such objects inside the function."
            )
    return PayloadError(f"The arguments{where} cannot be pickled: {reason}. Pass plain data instead.")


def name_of(function: Any) -> str:
    """Return the name a person would call the function by."""
    inner = getattr(function, "func", function)
    return getattr(inner, "__name__", None) or type(function).__name__


def namespaces_of(function: Any) -> list[dict[str, Any]]:
    """Return the globals a callable's code reads: its own, and those of what it wraps."""
    found: list[dict[str, Any]] = []
    looked_at: list[Any] = []
    waiting = [function]
    while waiting:
        part = waiting.pop()
        if any(part is other for other in looked_at):
            continue
        looked_at.append(part)
        namespace = getattr(part, "__globals__", None)
        if isinstance(namespace, dict):
            found.append(namespace)
        waiting += [
            inner for name in ("__wrapped__", "func") if (inner := getattr(part, name, None)) is not None
        ]
        if not isinstance(part, types.FunctionType):
            kind, method = (part, "__init__") if isinstance(part, type) else (type(part), "__call__")
            waiting.append(getattr(kind, method, None))
    return found


# ------------------------------------------------------------------------------------ who stands in the way


def _culprit_of_state(local_state: Mapping[str, Any]) -> str:
    for name, value in local_state.items():
        if not is_picklable(value):
            return f"local_state[{name!r}] (a {type(value).__name__})"
    return ""


def _culprit(function: Any, looked_at: set[int]) -> str:
    """Name the variable that cannot be pickled, through the functions that lead to it."""
    looked_at.add(id(function))
    for label, value in _parts(function):
        if id(value) in looked_at or is_picklable(value):
            continue
        inner = _culprit(value, looked_at) if callable(value) else ""
        return f"{label}, in it {inner}" if inner else f"{label} (a {type(value).__name__})"
    return ""


def _parts(function: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(function, functools.partial):
        yield "the function in it", function.func
        yield from ((f"its argument {number}", value) for number, value in enumerate(function.args))
        yield from ((f"its argument {name!r}", value) for name, value in function.keywords.items())
        return
    if isinstance(function, types.MethodType):
        yield "its object", function.__self__
        function = function.__func__
    code = getattr(function, "__code__", None)
    if code is None:
        yield from (
            (f"its attribute {name!r}", value) for name, value in getattr(function, "__dict__", {}).items()
        )
        return
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f"its variable {name!r}", cell.cell_contents
        except ValueError:  # the cell is still empty
            continue
    namespace = function.__globals__
    yield from ((f"the global {name!r}", namespace[name]) for name in code.co_names if name in namespace)


@lru_cache(maxsize=1)
def _library_versions() -> dict[str, str]:
    loaded = {name: sys.modules[name] for name in ("numpy", "pandas") if name in sys.modules}
    return {name: str(getattr(module, "__version__", "?")) for name, module in loaded.items()}
