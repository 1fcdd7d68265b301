"""What several rounds say together."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Summary:
    """The median over the rounds, with the least and the most."""

    value: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Sum up the rounds.

        Example:
            >>> Summary.of([3.0, 1.0, 2.0])
            Summary(value=2.0, least=1.0, most=3.0)
        """
        return cls(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which so many percent of the values lie.

    Example:
        >>> percentile([5.0, 1.0, 4.0, 2.0, 3.0], 50)
        3.0
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
