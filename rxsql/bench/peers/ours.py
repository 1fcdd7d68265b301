"""rxsql itself, measured in the way its peers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rxsql.bench.figures import OURS
from rxsql.bench.site import Site
from rxsql.bench.work import WORK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Ours:
    """A store with a worker of its own."""

    name = OURS
    cannot: frozenset[str] = frozenset()
    is_slow = False

    def __init__(self, store: str) -> None:
        self._store = store

    def start(self, children: int, folder: Path) -> None:
        """Start the worker."""
        self._site = Site(self._store, children, folder)
        self._site.__enter__()

    def run(self, work: str, arguments: Sequence[Any]) -> list[Any]:
        """One `rx_exec`."""
        function = WORK[work]
        return self._site.run(function, **{function.__code__.co_varnames[0]: list(arguments)})

    def stop(self) -> None:
        """End the worker."""
        self._site.__exit__()
