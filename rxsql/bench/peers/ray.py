"""Ray: a node on this machine, nothing stored."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from rxsql.bench.peers.protocol import need
from rxsql.bench.work import WORK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Ray:
    """A node with one worker process a processor."""

    name = "Ray"
    cannot: frozenset[str] = frozenset()
    is_slow = True

    def start(self, children: int, _folder: Path) -> None:
        """Start the node."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        self._ray = need("ray")
        self._ray.init(
            num_cpus=children, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL
        )
        self._remotes = {name: self._ray.remote(function) for name, function in WORK.items()}

    def run(self, work: str, arguments: Sequence[Any]) -> list[Any]:
        """Submit each, get all."""
        remote = self._remotes[work]
        return list(self._ray.get([remote.remote(argument) for argument in arguments]))

    def stop(self) -> None:
        """Shut the node down."""
        self._ray.shutdown()
