"""How a child process ended, in words and numbers."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exit:
    """A process's end.

    Args:
        code: Its exit code, or minus the number of the signal that ended it.
        peak_kib: The most memory it had at once, in KiB, where that is known.
    """

    code: int
    peak_kib: int | None = None

    @property
    def signal_name(self) -> str | None:
        """The name of the signal that ended it, if one did.

        Example:
            >>> Exit(-11).signal_name
            'SIGSEGV'
        """
        if self.code >= 0:
            return None
        try:
            return signal.Signals(-self.code).name
        except ValueError:
            return f"signal {-self.code}"

    def describe(self, memory_mb: int = 0) -> str:
        """Say how the process ended; `memory_mb` is the limit on its memory.

        Example:
            >>> Exit(3).describe()
            'exit code 3'
            >>> Exit(-9, peak_kib=2_097_152).describe()
            'signal SIGKILL, probably out of memory: it had taken 2,048 MB'
            >>> Exit(-6, peak_kib=500_000).describe(memory_mb=512)
            'signal SIGABRT, probably at the limit RXSQL_MEMORY_MB of 512 MB: it had taken 488 MB'
        """
        how = f"exit code {self.code}" if self.code >= 0 else f"signal {self.signal_name}"
        taken = "" if self.peak_kib is None else f": it had taken {self.peak_kib // 1024:,} MB"
        if memory_mb and (self.peak_kib or 0) > 0.9 * 1024 * memory_mb:
            return f"{how}, probably at the limit RXSQL_MEMORY_MB of {memory_mb} MB{taken}"
        if -self.code == signal.SIGKILL:
            return f"{how}, probably out of memory{taken}"
        return how
