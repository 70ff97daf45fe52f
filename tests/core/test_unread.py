"""What was not read says nothing of an alarm that waits for its hold time: it waits on."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from netopsd.core.beliefs import Alarm, Phase
from netopsd.core.inventory import Take, Threshold
from netopsd.core.model import Batch, Clocks, Layout, Table
from tests.core.network import LINK_DOWN, T0, Net, Ports, inventory

ERRORS = Threshold(
    alarm="errors", table="if", column="ifInErrors", take=Take.DELTA, raise_above=50.0, hold_s=40.0
)
KEY = "gw/if/p1!errors"


class Errors:
    """A device whose port counts errors, looked at every 30 s."""

    def __init__(self) -> None:
        self.net = Net(inventory({"gw": ()}, rules=(ERRORS,)))
        self.count = 0
        self.epoch = 0
        self.layout = self.walked()

    def walked(self) -> Layout:
        """Return a layout as a new walk gives it: the same rows, to be compared with nothing."""
        self.epoch += 1
        return Layout(
            table="if", rows=("p1",), index=("1",), labels={}, counters=("ifInErrors",),
            widths=(32,), gauges=(), epoch=self.epoch,
        )  # fmt: skip

    def look(self, grown: int, *, read: bool = True) -> None:
        self.net.wait(30)
        self.count += grown
        seconds = (self.net.at - T0).total_seconds()
        missing = None if read else np.array([[True]])
        counters = np.array([[self.count]], np.uint64)
        table = Table(self.layout, counters, np.zeros((0, 1)), missing)
        self.net.say(
            Batch(
                device="gw",
                at=self.net.at,
                mono_s=seconds,
                tables=(table,),
                clocks=Clocks(sys_uptime_ticks=round(seconds * 100)),
            )
        )

    def pending(self) -> Alarm | None:
        return self.net.world.pending.get(KEY) or None


def waiting() -> Errors:
    port = Errors()
    port.look(0)
    port.look(60)
    assert port.pending() is not None
    return port


def test_a_number_that_was_not_read_raises_nothing_however_long_it_is_not_read() -> None:
    port = waiting()
    for _ in range(4):
        port.look(0, read=False)
    assert port.net.alarms(Phase.ACTIVE) == []
    assert port.pending() is not None


@pytest.mark.parametrize(("grown", "phase"), [(60, Phase.ACTIVE), (0, None)])
def test_the_next_number_that_is_read_decides(grown: int, phase: Phase | None) -> None:
    port = waiting()
    since = port.net.at
    port.look(0, read=False)
    port.look(0)  # read, and yet there is nothing to compare it with
    assert port.pending() is not None
    port.look(grown)
    assert port.pending() is None
    alarms = port.net.alarms(Phase.ACTIVE)
    assert [a.phase for a in alarms] == [phase] * len(alarms)
    assert [(a.since, a.why) for a in alarms] == (
        [(since, "ifInErrors of p1 is 60, held for 40 s")] if phase else []
    )


def test_a_new_walk_does_not_end_the_waiting_either() -> None:
    port = waiting()
    port.layout = port.walked()
    port.look(60)  # there is nothing to compare it with
    assert port.pending() is not None
    port.look(60)
    assert [a.key for a in port.net.alarms(Phase.ACTIVE)] == [KEY]


def test_a_condition_that_was_not_read_does_not_raise_what_waits() -> None:
    net = Net(inventory({"gw": ()}, rules=(replace(LINK_DOWN, hold_s=40.0),)))
    net.look("gw", Ports({"p1": 2}))
    for _ in range(3):
        net.wait(30)
        net.look("gw", Ports({"p1": 2}, admin={"p1": math.nan}))
    assert net.alarms(Phase.ACTIVE) == []
    net.wait(30)
    net.look("gw", Ports({"p1": 2}))
    assert net.active() == ["gw/if/p1!link-down"]
