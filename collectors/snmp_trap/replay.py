"""Whether an authentic SNMPv3 message is timely and new (RFC 3414 sections 2.2.3, 3.2 (7) b). Pure.

Only messages whose authentication was verified may come here: their times are trusted. RFC 3414
lets a message be repeated within 150 s; here it is remembered by its authentication parameters and
taken once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from collectors.snmp_codec.v3 import MOST_BOOTS, EngineClock
from collectors.snmp_trap.engine import Heard

REMEMBER_S = 300.0
MOST_REMEMBERED = 100_000


@dataclass(slots=True)
class _Clock(EngineClock):
    floor: tuple[int, int]  # (boots, time): nothing from here or before is taken


class Timeline:
    """The clocks of the engines that send us traps, and what they sent lately."""

    def __init__(self, heard: Mapping[bytes, Heard], most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._clocks = {
            engine: _Clock(moment.boots, moment.time, None, (moment.boots, moment.time))
            for engine, moment in heard.items()
        }
        self._seen: OrderedDict[tuple[bytes, bytes], tuple[float, int, int]] = OrderedDict()
        self.moved: dict[bytes, Heard] = {}  # since the caller last emptied it

    def refusal(self, engine: bytes, moment: Heard, auth: bytes, mono_s: float) -> str:
        """Return "" and remember the message, or why it is refused: "not_in_window", "replayed".

        `auth` is its msgAuthenticationParameters, which differ for any two messages.
        """
        clock = self._clocks.get(engine)
        boots, time = moment.boots, moment.time
        if boots == MOST_BOOTS or (clock is not None and clock.late(boots, time, mono_s)):
            return "not_in_window"
        if (engine, auth) in self._seen or (clock is not None and (boots, time) <= clock.floor):
            return "replayed"
        if clock is None:
            clock = self._clocks[engine] = _Clock(boots, time, mono_s, (-1, -1))
            self.moved[engine] = moment
        elif clock.advance(boots, time, mono_s):
            self.moved[engine] = moment
        self._remember((engine, auth), (mono_s, boots, time))
        return ""

    def forget(self, engine: bytes, auth: bytes) -> None:
        """Take the same message again: what it said came to nothing."""
        self._seen.pop((engine, auth), None)

    def _remember(self, key: tuple[bytes, bytes], what: tuple[float, int, int]) -> None:
        """Forget what the window refuses anyway. What must go earlier raises the floor."""
        self._seen[key] = what
        while self._seen:
            (engine, _), (at, boots, time) = next(iter(self._seen.items()))
            if len(self._seen) <= self._most and at + REMEMBER_S > what[0]:
                return
            self._seen.popitem(last=False)
            clock = self._clocks[engine]
            clock.floor = max(clock.floor, (boots, time))
