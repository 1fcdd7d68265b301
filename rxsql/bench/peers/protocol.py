"""What a system must offer to be measured: start, run a function over arguments, stop."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


PATIENCE_SECONDS = 120.0
"""How long to wait for a result whose worker may have died."""


class PeerMissingError(Exception):
    """A peer, or the server it needs, is not there; the text says which."""


class System(Protocol):
    """Runs functions of `rxsql.bench.work` in processes of its own."""

    name: str
    """How the table calls it."""

    cannot: frozenset[str]
    """Names of functions it cannot run."""

    is_slow: bool
    """Whether a tenth of the runs is enough to see how many it does in a second."""

    def start(self, children: int, folder: Path) -> None:
        """Start so many processes; `folder` is there for its files.

        Raises:
            PeerMissingError: Something it needs is not there.
        """

    def run(self, work: str, arguments: Sequence[Any]) -> list[Any]:
        """Run a function once for each argument; return when all results are here."""

    def stop(self) -> None:
        """End everything it started."""


def need(module: str) -> Any:
    """Import what a peer needs.

    Raises:
        PeerMissingError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = getattr(error, "name", None) or module
        raise PeerMissingError(f"{missing.partition('.')[0]} is not installed") from error
