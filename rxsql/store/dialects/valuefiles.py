"""Large values of the embedded store, in files beside it: SQLite would write each of their bytes twice, page by page.

In the row stands the value's place instead, as text. A file holds the values of one transaction, and is on the disk
before that begins: no row names what is not there. The files of a job lie in a folder of its own, which goes when what
the job stored is removed; what a killed process left behind goes with the job, or is found by `strays`.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rxsql.errors import StoreError
from rxsql.sections import Descriptor, Section, write_all
from rxsql.store.dialects.filelog import sync_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rxsql.sections import Pieces

_FOLDER = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}"
_PLACE = re.compile(rf"({_FOLDER}/[0-9a-f]{{32}})/([0-9]{{1,18}})/([1-9][0-9]{{0,17}})")
_ALIGNED = 65_536  # of every system's pages a multiple, so that a value can be mapped by itself
_STRAY_SECONDS = 3600.0  # a submission takes less between its files and its commit


class ValueFiles:
    """The files of one store.

    Args:
        store: The store's own file.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self.folder = Path(f"{store}-values")

    def takes(self, job_id: str) -> bool:
        """Whether values of this job can stand here: its id is a folder's name."""
        return re.fullmatch(_FOLDER, job_id) is not None

    def write(self, job_id: str, bodies: Sequence[bytes | memoryview | Pieces]) -> list[str]:
        """Write values into a file of their own, down to the disk; return their places.

        Raises:
            StoreError: They cannot be written; nothing is left of them.
        """
        name = f"{job_id}/{secrets.token_hex(16)}"
        path = self.folder / name
        try:
            self._make_folders(path.parent)
            places = self._write(path, bodies)
            sync_folder(path.parent)
        except OSError as error:
            self.remove(name)
            raise self._refused(error) from error
        return [f"{name}/{start}/{size}" for start, size in places]

    def _write(self, path: Path, bodies: Sequence[bytes | memoryview | Pieces]) -> list[tuple[int, int]]:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        places, start = [], 0
        try:
            os.fchmod(fd, self._mode())
            for body in bodies:
                os.lseek(fd, start, os.SEEK_SET)
                write_all(fd, body)
                places.append((start, len(body)))
                start += -(-len(body) // _ALIGNED) * _ALIGNED
            os.fsync(fd)
        finally:
            os.close(fd)
        return places

    def _mode(self) -> int:
        """Return the permissions of the store's own file: who shares it shares these."""
        return stat.S_IMODE(self._store.stat().st_mode) & 0o666

    def _make_folders(self, folder: Path) -> None:
        """Make a job's folder and the one it lies in, open to those who may read and write the store."""
        mode = self._mode()
        for path in (self.folder, folder):
            with suppress(FileExistsError):
                path.mkdir(0o700)
                path.chmod(mode | (mode & 0o444) >> 2)
                sync_folder(path.parent)

    def _refused(self, error: OSError) -> StoreError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreError(
                f"The disk of the store {self._store} is full. Free some room; nothing stored was lost."
            )
        return StoreError(
            f"A large value of the store {self._store} cannot be written into the folder {self.folder}: "
            f"{error.strerror}."
        )

    def sections(self, places: Collection[str]) -> dict[str, Section]:
        """Return those of the values that are there and whole, by their places.

        Raises:
            StoreError: A file is there and cannot be read.
        """
        files: dict[str, Descriptor] = {}
        found = {}
        for place, parts in ((place, _PLACE.fullmatch(place)) for place in places):
            if parts is None:
                continue
            name, start, size = parts[1], int(parts[2]), int(parts[3])
            with suppress(FileNotFoundError):
                if name not in files:
                    files[name] = self._open(name)
                # Who maps what is cut off, as by a copy that was ended half-way, is killed by the system.
                if os.fstat(files[name].fd).st_size >= start + size:
                    found[place] = Section(files[name], start, size)
        return found

    def _open(self, name: str) -> Descriptor:
        try:
            return Descriptor(os.open(self.folder / name, os.O_RDONLY))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(
                f"The large value {self.folder / name} of the store {self._store} cannot be read: {error.strerror}."
            ) from error

    def is_place(self, text: str) -> bool:
        """Whether this is how a place is written."""
        return _PLACE.fullmatch(text) is not None

    def remove(self, place: str) -> None:
        """Remove the file of a place, and its folder where it was the last."""
        path = self.folder / "/".join(place.split("/")[:2])
        with suppress(OSError):
            path.unlink(missing_ok=True)
            path.parent.rmdir()

    def drop(self, job_id: str) -> None:
        """Remove all values of a job."""
        folder = f"{self.folder}/{job_id}"
        if self.takes(job_id) and os.path.lexists(folder):  # which is seldom so
            shutil.rmtree(folder, ignore_errors=True)

    def strays(self) -> list[str]:
        """Return the ids of the jobs that have values here which were written some time ago."""
        latest = time.time() - _STRAY_SECONDS
        with suppress(OSError), os.scandir(self.folder) as entries:
            return [entry.name for entry in entries if entry.stat().st_mtime < latest]
        return []
