"""How much of this machine its host gave to others: on a shared one, figures are worth what is left of it."""

from __future__ import annotations

from typing import NamedTuple

import psutil


class ProcessorTime(NamedTuple):
    """Seconds of all processors since the start of the machine.

    Attributes:
        wanted: In which something was to run.
        stolen: Those of them in which another guest of the host ran instead; only Linux tells.
    """

    wanted: float
    stolen: float

    @classmethod
    def now(cls) -> ProcessorTime:
        """Ask the system."""
        times = psutil.cpu_times()._asdict()
        waiting = times["idle"] + times.get("iowait", 0.0)
        # Linux counts a guest's time as its host's too.
        twice = times.get("guest", 0.0) + times.get("guest_nice", 0.0)
        return cls(sum(times.values()) - waiting - twice, times.get("steal", 0.0))

    def stolen_since(self, before: ProcessorTime) -> float:
        """Return the stolen part of what was wanted between `before` and this.

        Example:
            >>> ProcessorTime(30.0, 6.0).stolen_since(ProcessorTime(10.0, 1.0))
            0.25
        """
        wanted = self.wanted - before.wanted
        return (self.stolen - before.stolen) / wanted if wanted > 0 else 0.0
