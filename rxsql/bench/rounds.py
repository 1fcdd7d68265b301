"""The rounds of one run: rxsql and its peers in turn, so that a machine's moods meet all of them."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rxsql.bench import shared
from rxsql.bench.figures import OURS, STORE_ALONE
from rxsql.bench.own import console, costs, footprint, starts, tables
from rxsql.bench.peers.celery import Celery
from rxsql.bench.peers.dask import Dask
from rxsql.bench.peers.huey import Huey
from rxsql.bench.peers.loky import Loky
from rxsql.bench.peers.ours import Ours
from rxsql.bench.peers.procrastinate import Procrastinate
from rxsql.bench.peers.protocol import PeerMissingError
from rxsql.bench.peers.ray import Ray
from rxsql.bench.peers.storealone import StoreAlone
from rxsql.bench.site import Site
from rxsql.bench.sizes import Sizes
from rxsql.bench.statistics import Summary
from rxsql.bench.stolen import stolen_since_last

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rxsql.bench.peers.protocol import System
    from rxsql.store.engine import Store

_OWN: dict[str, Callable[[Site, Sizes, Path], dict[str, float]]] = {
    "console-flood": console.flooded,
    "console-delay": console.delay,
    "submit": costs.submit,
    "table": tables.table,
    "backlog": costs.backlog,
    "memory": footprint.memory,
    "idle": footprint.idle,
    "cold-start": starts.cold_start,
    "import": starts.imports,
    "statements": costs.statements,
}
_COUNTING = frozenset({"idle", "statements"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured.

    Args:
        store: The store; its name stays as the user gave it.
        groups: The names of the chosen figures.
        sizes: How much of everything.
        children: How many processes rxsql and each peer may use.
        rounds: How often.
        peers: Whether to measure the peers too.
        notice: Told what is being measured.
    """

    store: Store
    groups: frozenset[str]
    sizes: Sizes
    children: int
    rounds: int
    peers: bool
    notice: Callable[[str], None]

    @property
    def is_comparable(self) -> bool:
        """Whether the amounts are those that the figures speak of."""
        return self.sizes == Sizes()


@dataclass(slots=True)
class Measured:
    """What came of it: values by figure and system, a value a round; and why systems were left out.

    Attributes:
        stolen: The part of the processors' time that the machine's host gave to others meanwhile.
    """

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    stolen: float = 0.0

    def add(self, system: str, values: Mapping[str, float]) -> None:
        """Take what a round has found."""
        for figure, value in values.items():
            self.values.setdefault(figure, {}).setdefault(system, []).append(value)

    def summaries(self, figure: str) -> dict[str, Summary]:
        """Return a figure's values by system."""
        return {system: Summary.of(values) for system, values in self.values.get(figure, {}).items()}


def measure(plan: Plan) -> Measured:
    """Measure everything, round by round."""
    measured = Measured()
    systems = _systems(plan)
    stolen_since_last()
    for number in range(1, plan.rounds + 1):
        for system in systems:
            if system.name not in measured.left_out and plan.groups & shared.GROUPS:
                plan.notice(f"round {number} of {plan.rounds}: {system.name}")
                _measure_system(plan, system, measured)
        for group in (name for name in _OWN if name in plan.groups - measured.left_out.keys()):
            plan.notice(f"round {number} of {plan.rounds}: {group}")
            _measure_own(plan, group, measured)
    measured.stolen = stolen_since_last()
    return measured


def _measure_own(plan: Plan, group: str, measured: Measured) -> None:
    counting = group in _COUNTING
    with _folder() as folder, Site(plan.store.url, plan.children, folder, counting=counting) as site:
        try:
            measured.add(OURS, _OWN[group](site, plan.sizes, folder))
        except PeerMissingError as reason:
            measured.left_out[group] = str(reason)


def _systems(plan: Plan) -> list[System]:
    store = plan.store.url
    systems: list[System] = [Ours(store), StoreAlone(store)]
    if plan.peers:
        server = {"postgresql": store}.get(plan.store.dialect.name, "")
        systems += [
            Loky(),
            Dask(),
            Ray(),
            Huey(fsync=False),
            Huey(fsync=True),
            Celery(),
            Procrastinate(server),
        ]
    return systems


def _measure_system(plan: Plan, system: System, measured: Measured) -> None:
    with _folder() as folder:
        try:
            system.start(plan.children, folder)
        except PeerMissingError as reason:
            measured.left_out[system.name] = str(reason)
            return
        try:
            for values in shared.measure(system, plan.sizes, plan.children, plan.groups):
                measured.add(system.name, values)
        except Exception as error:
            if system.name in (OURS, STORE_ALONE):
                raise
            # A peer's trouble is its own: the figures of the others are good.
            measured.left_out[system.name] = f"it failed with {type(error).__name__}: {error}"
        finally:
            system.stop()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rxsql-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
