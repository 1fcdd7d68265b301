"""What keeps a child apart: the environment it sees, a folder of its own, and a worker it cannot look into."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rxsql.settings import Settings

# What a child sees of the worker's environment, besides the names in RXSQL_ENVIRONMENT.
ENVIRONMENT = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SYSTEMROOT"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "CUDA_VISIBLE_DEVICES"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    }
)
_NEVER = frozenset({"RXSQL_SIGNING_KEYS"})
_PREFIX = "rxsql-worker-"
_YOUNG_SECONDS = 60.0  # the age up to which a folder may not be locked yet
_PR_SET_DUMPABLE = 4


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the part of this environment that children may see."""
    named = {name.strip() for name in settings.environment.split(",")} - _NEVER
    return {
        name: value
        for name, value in os.environ.items()
        if name in ENVIRONMENT or name in named or name.startswith(("LC_", "PYTHON"))
    }


def hide() -> None:
    """Keep other processes of this user, its children above all, from reading this one's environment and memory."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class Folders:
    """The temporary folders of a worker's children, in a locked one of the worker's own.

    Where a worker and its zygote were killed at once, the next worker on this machine finds the folder unlocked and
    removes it.
    """

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        self.root = tempfile.mkdtemp(prefix=_PREFIX)
        self._lock = os.open(self.root, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def make(self) -> str:
        """Return a new folder for a child."""
        os.makedirs(self.root, mode=0o700, exist_ok=True)  # somebody may tidy up there
        return tempfile.mkdtemp(dir=self.root)

    def close(self) -> None:
        """Remove all of them."""
        remove(self.root)
        os.close(self._lock)


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _YOUNG_SECONDS:
                _remove_unlocked(folder)


def _remove_unlocked(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(str(folder))
    finally:
        os.close(lock)


def remove(folder: str) -> None:
    """Remove a folder, also where user code took away its own rights to what is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    if not os.path.exists(folder):
        return
    with suppress(OSError):
        os.chmod(folder, 0o700)
    for path, names, _ in os.walk(folder):
        for name in names:
            inner = os.path.join(path, name)
            with suppress(OSError):
                if not os.path.islink(inner):
                    os.chmod(inner, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
