"""loky: processes and pipes, nothing stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rxsql.bench.peers.protocol import need
from rxsql.bench.work import WORK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Loky:
    """A pool of processes."""

    name = "loky"
    cannot: frozenset[str] = frozenset()
    is_slow = False

    def start(self, children: int, _folder: Path) -> None:
        """Make the pool."""
        self._pool = need("loky").ProcessPoolExecutor(max_workers=children)

    def run(self, work: str, arguments: Sequence[Any]) -> list[Any]:
        """Map."""
        return list(self._pool.map(WORK[work], arguments))

    def stop(self) -> None:
        """Shut the pool down."""
        self._pool.shutdown(wait=True, kill_workers=True)
