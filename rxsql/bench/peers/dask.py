"""Dask: a scheduler and workers on this machine, nothing stored."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

from rxsql.bench.peers.protocol import need
from rxsql.bench.work import WORK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Dask:
    """A local cluster with one thread a process."""

    name = "Dask"
    cannot: frozenset[str] = frozenset()
    is_slow = True

    def start(self, children: int, folder: Path) -> None:
        """Start scheduler and workers."""
        distributed = need("distributed")
        self._cluster = distributed.LocalCluster(
            n_workers=children,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=str(folder),
            silence_logs=logging.CRITICAL,
        )
        self._client = distributed.Client(self._cluster)

    def run(self, work: str, arguments: Sequence[Any]) -> list[Any]:
        """Map and gather."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it would rather have large arguments scattered
            futures = self._client.map(WORK[work], arguments, pure=False)
        return list(self._client.gather(futures))

    def stop(self) -> None:
        """Close the cluster."""
        self._client.close()
        self._cluster.close()
