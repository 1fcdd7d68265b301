"""What was measured as rows of a table and as JSON."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from rxsql.bench.figures import OURS, STORE_ALONE, Figure, Target, figures_for

if TYPE_CHECKING:
    from rxsql.bench.rounds import Measured, Plan
    from rxsql.bench.statistics import Summary

_UNMEASURED = "-"
_MUCH = 0.02  # of the processors' time


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table: a figure of rxsql's, or below it what a peer reached."""

    figure: str
    value: str
    unit: str
    spread: str
    ratio: str = ""
    must: str = ""
    aim: str = ""
    mark: str = ""
    says: str = ""

    @property
    def is_peers(self) -> bool:
        """Whether it is a peer's."""
        return self.figure.startswith(" ")


def rows(plan: Plan, measured: Measured) -> list[Row]:
    """Return the table's lines in the order of the figures, each with its peers below it."""
    lines: list[Row] = []
    for figure in figures_for(plan.store.dialect.name, plan.groups):
        found = measured.summaries(figure.name)
        if OURS not in found:
            lines.append(
                Row(figure=figure.name, value=_UNMEASURED, unit=figure.unit, spread="", says=figure.says)
            )
            continue
        lines.append(_row(plan, figure, found))
        lines += [_peers_row(figure, name, found[name]) for name in found if name != OURS]
    return lines


def _row(plan: Plan, figure: Figure, found: dict[str, Summary]) -> Row:
    reached = {name: summary.value for name, summary in found.items()}
    best = best_peer(figure, reached)
    return Row(
        figure=figure.name,
        value=number(reached[OURS]),
        unit=figure.unit,
        spread=_spread(found[OURS]),
        ratio=f"{number(reached[OURS] / reached[best])} x {best}" if best else "",
        must=_bound(figure.must),
        aim=_bound(figure.aim),
        mark=figure.mark(reached) if plan.is_comparable else "",
        says=figure.says,
    )


def _peers_row(figure: Figure, name: str, summary: Summary) -> Row:
    return Row(figure=f"  {name}", value=number(summary.value), unit=figure.unit, spread=_spread(summary))


def warning(measured: Measured) -> str:
    """Return what to know before these figures are compared with another run's; "" where nothing is."""
    if measured.stolen < _MUCH:
        return ""
    return (
        f"The host of this machine gave {measured.stolen:.0%} of the processor time that was wanted to others. "
        "Compare figures within this run; those of a quieter one will be better."
    )


def best_peer(figure: Figure, reached: dict[str, float]) -> str:
    """Return the peer that is the measure, else the one that came furthest; "" where none was measured.

    The store alone is a limit and no peer.
    """
    if figure.group:
        return ""
    if figure.must is not None and figure.must.peer in reached:
        return figure.must.peer
    peers = {name: value for name, value in reached.items() if name not in (OURS, STORE_ALONE) and value}
    if not peers:
        return ""
    return (max if figure.more_is_better else min)(peers, key=lambda name: peers[name])


def _bound(target: Target | None) -> str:
    if target is None:
        return ""
    return f"{target.factor:g} x {target.peer}" if target.peer else f"{target.factor:g}"


def _spread(summary: Summary) -> str:
    return f"{number(summary.least)}..{number(summary.most)}"


def number(value: float) -> str:
    """Return a number with three digits that count.

    Example:
        >>> [number(value) for value in (15234.7, 152.34, 15.234, 0.0152)]
        ['15,235', '152', '15.2', '0.0152']
    """
    if value >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.3g}"


def as_json(plan: Plan, measured: Measured) -> dict[str, Any]:
    """Return everything that was measured, the values of each round included."""
    return {
        "rxsql": version("rxsql"),
        "python": platform.python_version(),
        "machine": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "stolen": measured.stolen,
        },
        "store": plan.store.label,
        "dialect": plan.store.dialect.name,
        "children": plan.children,
        "rounds": plan.rounds,
        "sizes": asdict(plan.sizes),
        "figures": [
            _figure(plan, figure, measured) for figure in figures_for(plan.store.dialect.name, plan.groups)
        ],
        "left_out": measured.left_out,
    }


def _figure(plan: Plan, figure: Figure, measured: Measured) -> dict[str, Any]:
    found = measured.summaries(figure.name)
    reached = {name: summary.value for name, summary in found.items()}
    best = best_peer(figure, reached)
    return {
        "name": figure.name,
        "says": figure.says,
        "unit": figure.unit,
        "more_is_better": figure.more_is_better,
        "value": reached.get(OURS),
        "mark": figure.mark(reached) if OURS in reached and plan.is_comparable else "",
        "must": _bound(figure.must),
        "aim": _bound(figure.aim),
        "best_peer": best or None,
        "ratio": reached[OURS] / reached[best] if best and OURS in reached else None,
        "systems": {
            name: {**asdict(summary), "rounds": measured.values[figure.name][name]}
            for name, summary in found.items()
        },
    }
