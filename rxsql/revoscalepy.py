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


class _Alias(ModuleType):
    """A module of revoscalepy whose names are rxsql's."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.__name__ == NAME and name in PACKAGES:
            return importlib.import_module(f"{NAME}.{name}")
        public = importlib.import_module("rxsql")
        try:
            return getattr(public, name)
        except AttributeError:
            if not name.startswith(("rx_", "Rx", "rx")):
                raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None
            raise AttributeError(
                f"{NAME}.{name} is not part of rxsql, which runs functions and jobs (rx_exec and rx_get_job_*). "
                "For data use pandas and SQLAlchemy inside your function; for models, scikit-learn or statsmodels."
            ) from None


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parts = fullname.split(".")
        known = parts[0] == NAME and (len(parts) == 1 or parts[1] in PACKAGES)
        return ModuleSpec(fullname, self, is_package=True) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Alias(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == NAME:
            module.__all__ = list(importlib.import_module("rxsql").__all__)  # type: ignore[attr-defined]
            module.__version__ = "9.4.7"  # type: ignore[attr-defined]


def install() -> None:
    """Let `revoscalepy` mean rxsql in this process, unless the original is there."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
