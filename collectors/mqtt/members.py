"""Who of a site's collectors is alive, and which devices are whose. Pure.

Rendezvous hashing: each device goes to the live collector with the highest hash of both names. Who
comes or goes moves only the devices it gets or had; all compute the same from the same names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

LOST_AFTER = 3.0  # heartbeats
V = TypeVar("V")


class Members:
    """Collectors of one site by the heartbeats we heard. `heartbeat_s` is everybody's."""

    def __init__(self, heartbeat_s: float) -> None:
        self._patience_s = heartbeat_s * LOST_AFTER
        self._heard: dict[str, float] = {}

    def here(self, name: str, now: float) -> bool:
        """`name` is alive; return whether that is news. Times are monotonic seconds."""
        new = name not in self._heard
        self._heard[name] = now
        return new

    def gone(self, name: str) -> bool:
        """`name` left, or the broker lost it; return whether that is news."""
        return self._heard.pop(name, None) is not None

    def lost(self, now: float) -> list[str]:
        """Return, and forget, those not heard of for three heartbeats."""
        silent = [n for n, at in self._heard.items() if now - at > self._patience_s]
        for name in silent:
            del self._heard[name]
        return silent

    def deaf(self, seconds_until: float) -> None:
        """We could not hear until now: nobody's silence before `seconds_until` counts."""
        for name, at in self._heard.items():
            self._heard[name] = max(at, seconds_until)

    @property
    def live(self) -> frozenset[str]:
        return frozenset(self._heard)


def weight(collector: str, device: str) -> bytes:
    """Return what a collector bids for a device; the highest bid has it."""
    return hashlib.blake2b(f"{collector}\0{device}".encode(), digest_size=8).digest()


def owner(device: str, live: Iterable[str]) -> str:
    """Return whose `device` is, "" where nobody is alive."""
    return max(live, key=lambda name: (weight(name, device), name), default="")


def share(me: str, live: Iterable[str], devices: Mapping[str, V]) -> dict[str, V]:
    """Return those of `devices` that are ours, given who else is alive."""
    everybody = {*live, me}
    return {name: one for name, one in devices.items() if owner(name, everybody) == me}
