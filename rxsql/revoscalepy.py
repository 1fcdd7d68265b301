"""Makes `import revoscalepy`, with its deep paths, mean rxsql; imports nothing of rxsql by itself."""

from __future__ import annotations

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "revoscalepy"
PACKAGES = ("computecontext", "functions", "utils", "datasource", "etl")
_VERSION = "9.4.7"  # the last one of the original that scripts were written for
_DEEPEST = 3  # revoscalepy.computecontext.RxInSqlServer is a module, what lies below are names in it


class _Alias(ModuleType):
    """A module of revoscalepy whose names are rxsql's."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.__name__ == NAME and name in PACKAGES:
            return importlib.import_module(f"{NAME}.{name}")
        try:
            return getattr(importlib.import_module("rxsql"), name)
        except AttributeError:
            raise AttributeError(_why_not(f"{self.__name__}.{name}")) from None

    def __call__(self, *_args: object, **_kwargs: object) -> Any:
        # `from revoscalepy.datasource import RxSqlServerData` gives the module of that name.
        raise NotImplementedError(_why_not(self.__name__))


def _why_not(path: str) -> str:
    return (
        f"{path} is not part of rxsql, which runs functions and jobs (rx_exec and rx_get_job_*). For data use pandas "
        "and SQLAlchemy inside your function; for models, scikit-learn or statsmodels."
    )


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parts = fullname.split(".")
        if parts[0] != NAME:
            return None
        if len(parts) > _DEEPEST or (len(parts) > 1 and parts[1] not in PACKAGES):
            # A name, not a module: Python looks here for what the module above does not have.
            raise ImportError(_why_not(fullname), name=fullname)
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Alias(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == NAME:
            module.__all__ = list(importlib.import_module("rxsql").__all__)  # type: ignore[attr-defined]
            module.__version__ = _VERSION  # type: ignore[attr-defined]


def install() -> None:
    """Let `revoscalepy` mean rxsql in this process, unless the original is there."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
