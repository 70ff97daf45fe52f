"""Cuts the power of a store's disk again and again at random moments and looks at what is left.

`python -m tests.store.power FOLDER MODE CUTS SEED`, as root, in a mount namespace of its own
(`unshare -m`): FOLDER gets a small ext4 file system. A cut is ext4's own shutdown without writing
its journal: from then on nothing reaches the disk, and what was not there yet never was. Prints
what crash.py does, with `cuts` for `rounds`. Ends with 77 where this kernel mounts no such disk.

A cut is not a lying disk: what the kernel has handed over is kept. Nor is it quite one moment: an
fdatasync under way may still say that all is well, to a process that a real cut would have ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.store.crash import killed_teller
from tests.store.teller import stored

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32)
NO_LOG_FLUSH = struct.pack("I", 2)
CANNOT = 77
MIB = 2**20


def cut_rounds(folder: Path, mode: str, cuts: int, seed: int) -> dict[str, object]:
    """Return what `cuts` power cuts did to the database on a disk below `folder`."""
    dice = random.Random(seed)
    image, place = folder / "disk", folder / "disk.d"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    run("mkfs.ext4", "-q", "-F", str(image))
    path = place / "netopsd.db"
    said: set[int] = set()
    lost: set[int] = set()
    wrong, done = "", 0
    while done < cuts and not (wrong or lost):
        with mounted(image, place):
            after, wait_s = dice.randrange(40), dice.random() * 0.004
            said |= killed_teller(path, mode, after, wait_s, cut=lambda: power_off(place))
        with mounted(image, place):
            found, wrong = stored(path) if path.exists() else (set(), "")
        lost |= said - found
        done += 1
    return {"cuts": done, "said": len(said), "lost": sorted(lost), "wrong": wrong}


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[None]:
    run("mount", "-o", "loop", str(image), str(place))
    try:
        yield
    finally:
        run("umount", str(place))


def power_off(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, SHUTDOWN, NO_LOG_FLUSH)
    finally:
        os.close(handle)


def run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        print(" ".join(command), done.stderr, file=sys.stderr)
        raise SystemExit(CANNOT)


if __name__ == "__main__":
    where, how, many, start = sys.argv[1:5]
    print(json.dumps(cut_rounds(Path(where), how, int(many), int(start))))
