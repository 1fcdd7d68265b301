"""Where a process's Python threads were when a signal ended it, SIGTERM included: it writes that to a file."""

from __future__ import annotations

import faulthandler
import signal


def write_to(fd: int) -> None:
    """Have last words written to this descriptor, in this process and in those that it forks."""
    faulthandler.enable(fd)
    # So that who was ended for its time can be asked where it was.
    faulthandler.register(signal.SIGTERM, fd, chain=True)
