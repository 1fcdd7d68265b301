"""How much of this machine its host gave to others: on a shared one, figures are worth what is left of it."""

from __future__ import annotations

import psutil


def stolen_since_last() -> float:
    """Return the part of the processor time wanted here since the last call that other guests of the host had.

    The first call's answer means nothing; only Linux tells of stolen time, elsewhere it is 0.
    """
    shares = psutil.cpu_times_percent()
    stolen: float = getattr(shares, "steal", 0.0)
    wanted = 100.0 - shares.idle - getattr(shares, "iowait", 0.0)
    return min(1.0, stolen / wanted) if wanted > 0 else 0.0
