"""Agents whose sysUpTime is not what it should be: that costs a walk or two, and no numbers."""

from __future__ import annotations

from typing import Any

from collectors.snmp_codec.ber import Tag
from collectors.snmp_poll import SnmpPoller
from netopsd.clock import ManualClock
from netopsd.core.model import Batch
from tests.collectors.snmp_poll.test_rows import TRUE, UPTIME, Box, octets, swept, tell

NAMES = ("gw1", "gw2", "gw3", "gw4")


class Slow(Box):
    """Counts its uptime in seconds, or whatever it takes for a hundredth of one."""

    def __init__(self, up_s: float = 1000.0, tick_s: float = 1.0) -> None:
        super().__init__(up_s)
        self._tick_s = tick_s

    def reply(self, version: int, asked: Any) -> Any:
        assert self.clock is not None
        up = int((self.clock.mono_s() - self.booted_s) / self._tick_s)
        self.mib[UPTIME] = (Tag.TIME_TICKS, up)
        return [self.truth(version, asked)]


def test_a_clock_that_counts_seconds_for_hundredths_costs_a_few_walks_and_no_numbers() -> None:
    box = Slow(up_s=60.0)

    async def story(poller: SnmpPoller, clock: ManualClock) -> tuple[list[Batch], int]:
        seen = []
        for _ in range(25):
            clock.move(30)
            seen.append(await poller.poll("gw1"))
        return seen, poller.stats().walks

    seen, walks = tell(box, story)

    assert all(octets(batch) == TRUE for batch in seen)
    assert walks <= 2 + 3


def test_devices_that_no_longer_say_how_long_they_are_up_are_asked_together_again() -> None:
    boxes = {name: Box() for name in NAMES}

    async def story(poller: SnmpPoller, clock: ManualClock) -> list[set[str]]:
        for name in NAMES * 2:
            await poller.poll(name)
        await swept(poller, NAMES)
        for box in boxes.values():
            box.clock = None
            del box.mib[UPTIME]
        told = []
        for _ in range(6):
            clock.move(30)
            seen, named = await swept(poller, NAMES)
            told.append(set(seen))
            for name in named:
                await poller.poll(name)
        return told

    told = tell(boxes, story)

    assert told[0] == set()
    assert told[-1] == set(NAMES)
