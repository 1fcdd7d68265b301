"""Processes that a peer needs beside this one: its workers, its server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_STOP_SECONDS = 10.0


class Processes:
    """Processes that end together."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    def start(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start one in a folder; what it says goes into a file there."""
        with (folder / "output.log").open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._started.append(process)

    def start_python(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Start this Python."""
        self.start([sys.executable, *arguments], folder, environment)

    def stop(self) -> None:
        """End all of them, and what they started."""
        for process in self._started:
            process.terminate()
        for process in self._started:
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._started.clear()
