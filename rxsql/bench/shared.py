"""The figures that rxsql shares with its peers: the same work, given to any system."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from rxsql.bench.statistics import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rxsql.bench.peers.protocol import System
    from rxsql.bench.sizes import Sizes

Values = dict[str, float]


def measure(system: System, sizes: Sizes, children: int, groups: frozenset[str]) -> Iterator[Values]:
    """Warm a started system up, then measure those of the chosen figures that it can do."""
    system.run("noop", range(sizes.warm_up))
    for name, (work, figure) in _FIGURES.items():
        if name in groups and work not in system.cannot:
            yield figure(system, sizes, children)


def _timed(system: System, work: str, arguments: Sequence[Any]) -> float:
    begun = time.perf_counter()
    results = system.run(work, arguments)
    seconds = time.perf_counter() - begun
    assert len(results) == len(arguments)
    return seconds


def _throughput(system: System, sizes: Sizes, _children: int) -> Values:
    count = sizes.noops // 10 if system.is_slow else sizes.noops
    return {"throughput": count / _timed(system, "noop", range(count))}


def _latency(system: System, sizes: Sizes, _children: int) -> Values:
    seconds = [_timed(system, "noop", [run]) for run in range(sizes.single_runs)]
    half, most = percentile(seconds, 50), percentile(seconds, 95)
    apart = [_after_a_pause(system, sizes.pause_seconds, run) for run in range(sizes.single_runs_apart)]
    return {
        "latency": 1000 * half,
        "latency-p95": most / half,
        "latency-apart": 1000 * percentile(apart, 50),
    }


def _after_a_pause(system: System, pause: float, run: int) -> float:
    time.sleep(pause)  # as long as it takes that nothing of the run before is still being done
    return _timed(system, "noop", [run])


def _cpu_share(system: System, sizes: Sizes, children: int) -> Values:
    seconds = _timed(system, "spin", [sizes.spin_seconds] * sizes.spins)
    return {"cpu-share": sizes.spins * sizes.spin_seconds / (children * seconds)}


def _big_values(system: System, sizes: Sizes, _children: int) -> Values:
    bodies = [os.urandom(sizes.big_bytes) for _ in range(sizes.big_values)]
    return {"big-values": 2 * sum(map(len, bodies)) / 1e6 / _timed(system, "echo", bodies)}


_FIGURES: dict[str, tuple[str, Callable[[System, Sizes, int], Values]]] = {
    "throughput": ("noop", _throughput),
    "latency": ("noop", _latency),
    "cpu-share": ("spin", _cpu_share),
    "big-values": ("echo", _big_values),
}
GROUPS = frozenset(_FIGURES)
