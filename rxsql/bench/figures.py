"""The figures: what each says, in which unit, what it must be, and what it aims at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

OURS = "rxsql"
STORE_ALONE = "the store alone"


@dataclass(frozen=True, slots=True)
class Target:
    """A bound: a value, or so many times what a peer reaches in the same run."""

    factor: float
    peer: str = ""

    def value(self, reached: Mapping[str, float]) -> float | None:
        """Return the bound in the figure's unit; None where its peer was not measured.

        Example:
            >>> Target(3, "loky").value({"loky": 10_000.0})
            30000.0
        """
        if not self.peer:
            return self.factor
        return None if self.peer not in reached else self.factor * reached[self.peer]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    name: str
    says: str
    unit: str
    must: Target | None = None
    aim: Target | None = None
    more_is_better: bool = False
    group: str = ""  # the name by which it is chosen, where several are measured together

    @property
    def chosen_by(self) -> str:
        """The name by which it is chosen on the command line."""
        return self.group or self.name

    def mark(self, reached: Mapping[str, float]) -> str:
        """Return which bound the value keeps: "aim", "must" or "missed"; "" where that cannot be said.

        Args:
            reached: The values of this run by system, this package's own among them.
        """
        kept = [self._keeps(bound, reached) for bound in (self.aim, self.must)]
        if kept[0]:
            return "aim"
        if kept[1]:
            return "must"
        return "missed" if kept[1] is False else ""

    def _keeps(self, target: Target | None, reached: Mapping[str, float]) -> bool | None:
        bound = None if target is None else target.value(reached)
        if bound is None:
            return None
        return reached[OURS] >= bound if self.more_is_better else reached[OURS] <= bound


FIGURES = (
    Figure(
        "throughput",
        "no-op runs of one rx_exec, submission to results",
        "runs/s",
        Target(3, "loky"),
        Target(6, "loky"),
        more_is_better=True,
    ),
    Figure(
        "latency", "a job of one run, submission to result, p50", "ms", Target(1.4, "Ray"), Target(1, "Ray")
    ),
    Figure("latency-p95", "the same, p95", "x p50", Target(2), group="latency"),
    Figure("latency-apart", "the same p50, 50 ms after the one before", "ms", group="latency"),
    Figure(
        "cpu-share",
        "CPU-bound runs of 50 ms, share of the ideal",
        "",
        Target(0.97),
        Target(0.99),
        more_is_better=True,
    ),
    Figure(
        "big-values",
        "8 MB of random bytes in and out, both ways",
        "MB/s",
        Target(1, "Dask"),
        Target(0.9, STORE_ALONE),
        more_is_better=True,
    ),
    Figure("console-flood", "1,000,000 printed lines, stored, against a file", "x", Target(1.5), Target(1.1)),
    Figure("console-delay", "from print to a visible row, p95", "ms", Target(250), Target(50)),
    Figure("submit", "100,000 runs, until rx_exec(wait=False) returns", "s", Target(1), Target(0.4)),
    Figure("table", "100,000 rows of 10 columns into a script and out", "s", Target(5), Target(2)),
    Figure(
        "table-worker",
        "1,000,000 such rows, memory of the worker",
        "MB",
        Target(64),
        Target(32),
        group="table",
    ),
    Figure("table-client", "the same, of the client beside the table", "MB", group="table"),
    Figure("table-child", "the same, of the child with the table", "MB", group="table"),
    Figure("backlog", "a task's cost, 1,000,000 rows against 1,000", "x", Target(1.3), Target(1)),
    Figure(
        "memory-client", "growth over 100,000 results, once warm", "MB", Target(5), Target(1), group="memory"
    ),
    Figure(
        "memory-worker", "growth over 100,000 runs, once warm", "MB", Target(5), Target(1), group="memory"
    ),
    Figure(
        "idle-cpu",
        "an idle worker, with all its processes",
        "% of a core",
        Target(1),
        Target(0.2),
        group="idle",
    ),
    Figure("idle-memory", "an idle worker without its children", "MB", Target(60), group="idle"),
    Figure("idle-statements", "an idle worker", "statements/s", Target(5), Target(1), group="idle"),
    Figure("cold-start", "process start to result, no worker alive", "s", Target(1), Target(0.5)),
    Figure("import", "import rxsql", "ms", Target(100), Target(50)),
    Figure("statements", "client and worker, for 1,000 no-op runs", "", Target(60), Target(20)),
)
GROUPS = tuple(dict.fromkeys(figure.chosen_by for figure in FIGURES))

# On a server that a peer uses too, the peer is the measure.
_ON_THE_SAME_SERVER = {
    "postgresql": {"throughput": (Target(5, "Procrastinate"), Target(20, "Procrastinate"))}
}


def figures_for(dialect: str, groups: frozenset[str]) -> list[Figure]:
    """Return the chosen figures, with the bounds that count on this kind of store."""
    bounds = _ON_THE_SAME_SERVER.get(dialect, {})
    chosen = [figure for figure in FIGURES if figure.chosen_by in groups]
    return [
        replace(figure, must=bounds[figure.name][0], aim=bounds[figure.name][1])
        if figure.name in bounds
        else figure
        for figure in chosen
    ]
