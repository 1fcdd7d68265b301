"""What rxsql takes of a machine: memory while it works, everything while it is idle."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

import psutil

from rxsql.bench.site import megabytes
from rxsql.bench.work import noop

if TYPE_CHECKING:
    from pathlib import Path

    from rxsql.bench.site import Site
    from rxsql.bench.sizes import Sizes


def memory(site: Site, sizes: Sizes, _folder: Path) -> dict[str, float]:
    """Return by how much client and worker have grown over many runs, after as many before."""
    values = list(range(sizes.collected))
    client, worker = [psutil.Process()], site.supervising()
    measured = []
    for _ in range(2):
        site.run(noop, value=values)
        gc.collect()
        measured.append((megabytes(client), megabytes(worker)))
    (client_before, worker_before), (client_after, worker_after) = measured
    return {
        "memory-client": max(0.0, client_after - client_before),
        "memory-worker": max(0.0, worker_after - worker_before),
    }


def idle(site: Site, sizes: Sizes, _folder: Path) -> dict[str, float]:
    """Return what a worker takes that has nothing to do."""
    time.sleep(sizes.settle_seconds)  # its first housekeeping, and standby children, are behind it
    processes = site.everything()
    sent, used = site.statements(), _cpu_seconds(processes)
    begun = time.perf_counter()
    time.sleep(sizes.idle_seconds)
    seconds = time.perf_counter() - begun
    return {
        "idle-cpu": 100 * (_cpu_seconds(processes) - used) / seconds,
        "idle-memory": megabytes(site.supervising()),
        "idle-statements": (site.statements() - sent) / seconds,
    }


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))
