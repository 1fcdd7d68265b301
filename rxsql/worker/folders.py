"""A worker's temporary folder, in which its children's lie; what a killed worker left behind is removed by others."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_PREFIX = "rxsql-worker-"
_LOCK = "lock"


class WorkerFolder:
    """A folder of this process's own, locked for as long as it lives."""

    def __init__(self) -> None:
        self._lock: int | None = None
        while self._lock is None:  # who sweeps may have been quicker with the lock
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            with suppress(OSError):
                self._lock = _locked(self.path, os.O_CREAT)
        self._children = str(self.path / "child-")  # how their folders' names begin

    def for_child(self, number: int) -> str:
        """Return the path of a child's folder in it, which the child makes and the zygote removes."""
        return f"{self._children}{number}"

    def close(self) -> None:
        """Remove it with all that is in it, and what dead workers left: perhaps no other comes."""
        _remove(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        sweep()


def sweep() -> None:
    """Remove the folders of this user's workers that live no more: the lock ends with its process."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # locked, or somebody else's, or gone meanwhile
            if path.lstat().st_uid == os.geteuid() and not path.is_symlink():
                lock = _locked(path)
                _remove(path)
                os.close(lock)


def _locked(path: Path, flags: int = 0) -> int:
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW | flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _remove(path: Path) -> None:
    """Remove the children's folders first and the lock last, so that whoever is interrupted leaves it to the next."""
    for name in os.listdir(path) if path.exists() else ():
        if name != _LOCK:
            remove(str(path / name))
    shutil.rmtree(path, ignore_errors=True)


def remove(folder: str) -> None:
    """Remove a folder, also where user code took away its own rights to what is in it."""
    try:  # mostly it is empty
        os.rmdir(folder)
    except OSError:
        _remove_tree(Path(folder))


def _remove_tree(folder: Path) -> None:
    if folder.is_symlink():  # user code may put one there; what it leads to is none of ours
        folder.unlink(missing_ok=True)
        return
    with suppress(OSError):
        folder.chmod(0o700)
    # What lies in a folder in it comes up beside that first: of a deep tree no path is short enough, and no recursion.
    waiting = _entries(folder)
    while waiting:
        path = waiting.pop()
        for inner in _entries(path):
            with suppress(OSError):
                waiting.append(inner.rename(folder / secrets.token_hex(8)))
        with suppress(OSError):
            path.rmdir()
    with suppress(OSError):
        folder.rmdir()


def _entries(folder: Path) -> list[Path]:
    """Remove the files of a folder; return the folders in it, which may be changed from now on."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.path, 0o700)
                    found.append(Path(entry.path))
                else:
                    os.unlink(entry.path)
    return found
