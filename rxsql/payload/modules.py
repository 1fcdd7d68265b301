"""What travels by value and what by name: the user's own modules are not on the worker, installed ones are."""

from __future__ import annotations

import sys
import sysconfig
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


@contextmanager
def by_value() -> Iterator[None]:
    """Pickle what lies in the user's own modules by value: the worker cannot import them.

    Modules of the standard library, of site-packages and of rxsql go by name. The registry is cloudpickle's and
    global, so what was not registered before is taken out again.
    """
    registered = cloudpickle.list_registry_pickle_by_value()
    mine = [module for module in _user_modules() if module.__name__ not in registered]
    for module in mine:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in mine:
            cloudpickle.unregister_pickle_by_value(module)


_PACKAGES = frozenset({"site-packages", "dist-packages"})
_seen: tuple[int, list[ModuleType]] = (-1, [])


def _user_modules() -> list[ModuleType]:
    global _seen  # noqa: PLW0603 - a cache keyed by how many modules there are
    if _seen[0] != len(sys.modules):
        # By name: a module may stand in sys.modules under a second one, and is registered once.
        modules = {module.__name__: module for module in list(sys.modules.values()) if is_users(module)}
        _seen = (len(sys.modules), list(modules.values()))
    return _seen[1]


def is_users(module: Any) -> bool:
    """Whether a module is the user's own: not the main one, not of rxsql, and not installed."""
    name = getattr(module, "__name__", None)
    if not isinstance(name, str) or name == "__main__" or sys.modules.get(name) is not module:
        return False
    if name.partition(".")[0] in ("rxsql", "revoscalepy"):
        return False
    path = getattr(module, "__file__", None)
    if not isinstance(path, str) or path.startswith(_installed_places()):
        return False
    # A .pth file or PYTHONPATH may borrow packages from another environment; what is in such a folder is installed.
    return _PACKAGES.isdisjoint(Path(path).parts)


@lru_cache(maxsize=1)
def _installed_places() -> tuple[str, ...]:
    import site  # noqa: PLC0415

    paths = set(sysconfig.get_paths().values()) | set(site.getsitepackages()) | {site.getusersitepackages()}
    paths |= {str(Path(sys.base_prefix) / "lib")}
    paths.add(str(Path(cloudpickle.__file__).parents[1]))  # `pip install --target` takes any folder
    paths.discard(sysconfig.get_path("data"))  # the prefix itself, which may hold a user's project
    return (*(f"{path}/" for path in sorted(paths)), "<frozen")
