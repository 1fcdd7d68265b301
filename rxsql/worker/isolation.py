"""What keeps a child apart: the environment it sees, and a worker it cannot look into."""

from __future__ import annotations

import ctypes
import os
import sys
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
