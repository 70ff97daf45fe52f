"""What our own SNMP engine must remember: who it is, how often it booted, whom it heard.

RFC 3414 section 2.2: snmpEngineID never changes, snmpEngineBoots is on disk before it is first
used, and reaching its maximum ends the use of authentication until an operator steps in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from collectors.snmp_codec.v3 import MOST_BOOTS
from netopsd.errors import BadConfiguration

# 0x80 + an enterprise number + format 5 (octets). 32473 is kept for examples (RFC 5612): we have
# none of our own, and the random octets after it make the id unique.
_PREFIX = (0x80000000 | 32473).to_bytes(4, "big") + b"\x05"


@dataclass(frozen=True, slots=True)
class Engine:
    """Our engine in this run of the daemon."""

    id: bytes
    boots: int


@dataclass(frozen=True, slots=True)
class Heard:
    """The latest authentic moment of another engine."""

    boots: int
    time: int


def boot(folder: Path, wanted: str = "") -> Engine:
    """Return our engine with its boots counted up, both durable in `folder` before we return.

    `wanted` is the operator's snmpEngineID in hexadecimal; each id has its own boots. Raises
    BadConfiguration where the file cannot be read or boots are used up, OSError where the disk does
    not take it.
    """
    path = folder / "snmp-engine.json"
    known, counts = "", {}
    if path.exists():
        try:
            said = json.loads(path.read_text())
            known = bytes.fromhex(said["engine_id"]).hex()
            counts = {str(engine): int(boots) for engine, boots in said["boots"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadConfiguration(
                [f"{path}: cannot be read ({error}); removing it makes senders learn a new engine"]
            ) from error
    ours = wanted or known or (_PREFIX + os.urandom(8)).hex()
    boots = counts[ours] = counts.get(ours, 0) + 1
    if boots >= MOST_BOOTS:
        raise BadConfiguration([f"{path}: snmpEngineBoots is used up; choose a new engine_id"])
    folder.mkdir(parents=True, exist_ok=True)
    _write(path, json.dumps({"engine_id": ours, "boots": counts}))
    return Engine(bytes.fromhex(ours), boots)


def _write(path: Path, text: str) -> None:
    """Replace `path` so that after a power cut it is the old file or the new one."""
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Journal:
    """The latest moment of each engine heard, appended as it moves and tidied at each start.

    It is written without fsync: a killed daemon loses nothing, a power cut at most the moments of
    the last seconds.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "snmp-heard.txt"
        self._torn = False  # the disk may have taken half a line

    def load(self) -> dict[bytes, Heard]:
        """Return what was heard before, and tidy the file. A torn last line is left out."""
        heard: dict[bytes, Heard] = {}
        if not self._path.exists():
            return heard
        for line in self._path.read_text(errors="replace").splitlines():
            try:
                engine, boots, time = line.split()
                moment = Heard(int(boots), int(time))
                key = bytes.fromhex(engine)
            except ValueError:
                continue
            if key not in heard or _later(moment, heard[key]):
                heard[key] = moment
        with suppress(OSError):  # a full disk: tidied at another start
            _write(self._path, "".join(_line(*item) for item in heard.items()))
        return heard

    def append(self, moved: Iterable[tuple[bytes, Heard]]) -> None:
        """Write down that these engines' clocks moved on. Raises OSError."""
        text = "".join(_line(*item) for item in moved)
        if not text:
            return
        torn, self._torn = self._torn, True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write("\n" * torn + text)
        self._torn = False


def _line(engine: bytes, heard: Heard) -> str:
    return f"{engine.hex()} {heard.boots} {heard.time}\n"


def _later(one: Heard, other: Heard) -> bool:
    return (one.boots, one.time) > (other.boots, other.time)
