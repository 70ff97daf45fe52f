"""Room kept for bad days: a file of nothing beside the database, given up when the disk is full.

A full disk refuses even a DELETE in WAL mode. Letting the ballast go makes room in which alarms,
tickets and messages still commit until somebody makes more; then it is laid in again.
"""

from __future__ import annotations

import os
from pathlib import Path


class Ballast:
    """The file `<database>.ballast` of `size` bytes. Size 0 keeps none."""

    def __init__(self, database: Path, size: int) -> None:
        self._path = database.with_name(database.name + ".ballast")
        self._size = size

    @property
    def held(self) -> bool:
        """Whether there is ballast to give up."""
        return self._path.exists()

    def free(self) -> int:
        """Return the bytes still free on the database's disk."""
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize

    def tight(self) -> bool:
        """Return whether less than a quarter of the ballast's size is free."""
        return self._size > 0 and self.free() < self._size // 4

    def release(self) -> bool:
        """Give the ballast up; return whether there was any."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

    def lay(self) -> bool:
        """Lay the ballast in where the disk has twice its size free; return whether it is there."""
        if self._size <= 0 or self.held:
            return True
        if self.free() < 2 * self._size + self._size // 4:
            return False
        try:
            with open(self._path, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size)
                os.fsync(file.fileno())
        except OSError:  # someone else took the room meanwhile
            self.release()
            return False
        return True
