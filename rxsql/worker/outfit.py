"""What every child has from its first moment: made once, in the zygote, and only put to use by each that it forks.

It lies in the same descriptors in all of them. So each only has other files put there, and makes nothing anew: what
a forked process makes or changes costs it pages of memory.
"""

from __future__ import annotations

import os
import socket
from os import closerange, dup2
from typing import TYPE_CHECKING

from rxsql.worker import lastwords
from rxsql.worker.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST_FD = 3  # after the standard streams


class Outfit:
    """A socket, standard output and error, and a file for last words; the zygote's own, where it has such.

    Attributes:
        sock: A child's end of its socket.
        streams: Its standard output and error.
    """

    def __init__(self) -> None:
        self._first = highest_open_fd() + 1
        self._sock, self._stdout, self._stderr, self._last_words = range(self._first, self._first + 4)
        self._end = self._first + 4
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as nowhere:
            dup2(nowhere.fileno(), self._sock, inheritable=False)
        for own, place in ((1, self._stdout), (2, self._stderr), (2, self._last_words)):
            dup2(own, place, inheritable=False)
        self.sock = socket.socket(fileno=self._sock)
        self.streams = Streams(self._stdout, self._stderr)
        lastwords.write_to(self._last_words)

    def put_on(self, fds: Sequence[int], highest_fd: int) -> None:
        """Have a forked process's own files there, and close all others; its streams are still to be turned there.

        Args:
            fds: Its end of the socket, its standard output and error, and its file for last words.
            highest_fd: The highest that may be open.
        """
        sock, stdout, stderr, last_words = fds
        dup2(last_words, self._last_words, False)
        dup2(sock, self._sock, False)
        dup2(stdout, self._stdout, False)
        dup2(stderr, self._stderr, False)
        closerange(_FIRST_FD, self._first)
        closerange(self._end, highest_fd + 1)

    def close(self) -> None:
        """Give the socket's place back; the others go with the process."""
        self.sock.close()


def highest_open_fd() -> int:
    """Return the highest descriptor that is open in this process."""
    return max(map(int, os.listdir("/dev/fd")))
