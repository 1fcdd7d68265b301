"""Where a process's Python threads were when a signal ended it, SIGTERM included: it writes that to a file.

Arranged for once in the process that forks: what it forks only says to which file.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from os import dup2


class LastWords:
    """The file to which this process would write where it was; at first standard error.

    Attributes:
        fd: Its descriptor, in this process and in those that it forks.
    """

    def __init__(self) -> None:
        self.fd = os.dup(2)
        faulthandler.enable(self.fd)
        # So that who was ended for its time can be asked where it was.
        faulthandler.register(signal.SIGTERM, self.fd, chain=True)

    def move_to(self, fd: int) -> None:
        """Have them in another file from now on."""
        dup2(fd, self.fd, False)
