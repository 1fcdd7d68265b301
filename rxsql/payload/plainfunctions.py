"""Functions that need no pickler: of a script, over plain values and modules; rebuilt by one call of marshal.

Most functions are such. A child has loaded one in a fifth of the time (84 us for 419), and a client has described one
in a seventh (7 us for 49).
cloudpickle takes all others, and each of these would come out of it the same.
"""

from __future__ import annotations

import sys
import types
from importlib import import_module

# By bare names: a child has one more page of memory to copy for each module that it looks into.
from marshal import dumps, loads
from types import FunctionType
from typing import TYPE_CHECKING, Any

from cloudpickle import cloudpickle as dynamic

from rxsql.payload.modules import is_users

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = b"\0"  # no pickle begins so
_PLAIN = frozenset({bool, bytes, complex, float, int, str, type(None)})
_FORMAT = 2  # later ones write the same function in several ways
_ATTRIBUTES = ("__qualname__", "__module__", "__doc__", "__kwdefaults__", "__annotations__")
_ALWAYS = ("__package__", "__name__", "__path__", "__file__")  # cloudpickle's, with those that the code names
_BUILTINS = __builtins__


def dump(function: Callable[..., Any]) -> bytes | None:
    """Return a function in marshal's format, None where it is a pickler's."""
    if type(function) is not FunctionType or function.__module__ != "__main__" or _has_more(function):
        return None
    values: dict[str, Any] = {}
    modules: dict[str, str] = {}
    for name in (*_ALWAYS, *dynamic._extract_code_globals(function.__code__)):  # noqa: SLF001
        if name in function.__globals__:
            value = function.__globals__[name]
            if type(value) is types.ModuleType and _goes_by_name(value):
                modules[name] = value.__name__
            elif type(value) in _PLAIN:
                values[name] = value
            else:
                return None
    bare = FunctionType(function.__code__, values, function.__name__)
    others = {
        name: getattr(function, name)
        for name in _ATTRIBUTES
        if getattr(function, name) != getattr(bare, name)
    }
    parts = (function.__code__, values, modules, function.__name__, function.__defaults__, others)
    return MARK + dumps(parts, _FORMAT)


def _has_more(function: FunctionType) -> bool:
    """Whether there is something to it that marshal cannot describe, or not exactly."""
    plain = (
        *(function.__defaults__ or ()),
        *(function.__kwdefaults__ or {}).values(),
        function.__doc__,
        *([] if getattr(function, "__annotate__", None) else function.__annotations__.values()),
    )
    return bool(
        function.__closure__
        or function.__dict__
        or getattr(function, "__annotate__", None)
        or getattr(function, "__type_params__", None)
        or not _PLAIN.issuperset(map(type, plain))
        or not _is_exact(function.__code__)
    )


def _goes_by_name(module: types.ModuleType) -> bool:
    """Whether importing a module by its name is all that it takes: of packages, parts may have to be, too."""
    name = module.__name__
    return (
        not module.__package__
        and sys.modules.get(name) is module
        and name != "__main__"
        and not is_users(module)
        and not dynamic._is_registered_pickle_by_value(module)  # noqa: SLF001
    )


def _is_exact(constant: Any) -> bool:
    """Whether marshal keeps a constant of code as it is: there may be more in code than the compiler puts there."""
    if type(constant) is types.CodeType:
        return all(map(_is_exact, constant.co_consts))
    if type(constant) in (tuple, frozenset):
        return all(map(_is_exact, constant))
    return type(constant) in _PLAIN or constant is ...


def load(body: bytes | memoryview) -> Callable[..., Any]:
    """Return the function of what `dump` returned.

    Raises:
        ImportError: It needs a module that is missing here.
    """
    code, namespace, modules, name, defaults, others = loads(body[len(MARK) :])  # noqa: S302 - as safe as a pickle
    namespace["__builtins__"] = _BUILTINS
    for known_as, module in modules.items():
        namespace[known_as] = import_module(module)
    function = FunctionType(code, namespace, name, defaults)
    for attribute, value in others.items():
        setattr(function, attribute, value)
    return function
