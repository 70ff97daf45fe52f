"""One device watched in several ways, and tables read less often than others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np

from netopsd.core.beliefs import Reach
from netopsd.core.inventory import Inventory, Take, Threshold
from netopsd.core.model import Batch, Blind, Clocks, Layout, Table
from netopsd.core.outcome import OutageNotice
from netopsd.core.usage import current
from tests.core.network import T0, Net, Ports, gold, inventory, port

ERRORS = Threshold(
    alarm="errors", table="slow", column="errors", take=Take.RATE, raise_above=1.0, clear_at=0.5
)
SLOW = Layout(
    table="slow",
    rows=("x",),
    index=("1",),
    labels={},
    counters=("errors",),
    widths=(64,),
    gauges=(),
)


def both() -> Inventory:
    base = inventory(
        {"pe1": [], "b": [], "c": []},
        services=[gold("s1", [port("pe1", "p1")], meters=[port("pe1", "p1")])],
        rules=[ERRORS],
    )
    devices = {
        name: replace(device, sources=("snmp", "netconf")) for name, device in base.devices.items()
    }
    return replace(base, devices=devices)


def slow(net: Net, errors: int, *, source: str = "snmp") -> Batch:
    table = Table(SLOW, np.array([[errors]], np.uint64), np.zeros((0, 1)))
    return Batch(
        device="pe1",
        at=net.at,
        mono_s=(net.at - T0).total_seconds(),
        tables=(table,),
        source=source,
        clocks=Clocks(sys_uptime_ticks=round(2e6 + (net.at - T0).total_seconds() * 100)),
    )


def test_a_table_read_every_ten_minutes_has_its_rate_over_ten_minutes() -> None:
    net = Net(both())
    for n in range(41):  # 500 errors in 600 s are 0.8 a second; in 30 s they would be seventeen
        net.up("pe1", "p1")
        net.wait(1)
        if n % 20 == 0:
            net.say(slow(net, 500 * (n // 20), source="netconf"))
        net.wait(29)
    assert [key for key in net.active() if key.startswith("pe1")] == []


def test_what_was_counted_before_a_restart_is_not_compared_with_after() -> None:
    net = Net(both())
    net.say(slow(net, 10))
    net.wait(60)
    rebooted = Batch(
        device="pe1",
        at=net.at,
        mono_s=60.0,
        clocks=Clocks(sys_uptime_ticks=100),
    )
    net.say(rebooted)
    net.wait(60)
    after = replace(slow(net, 100_000), clocks=Clocks(sys_uptime_ticks=6100))
    net.say(after)
    assert net.active() == []


def test_a_second_way_of_looking_that_fails_is_no_outage() -> None:
    net = Net(both())
    for _ in range(8):
        net.up("pe1", "p1")
        net.wait(5)
        net.say(
            Batch(
                device="pe1",
                at=net.at,
                mono_s=0.0,
                blind=Blind.UNREACHABLE,
                why="ssh",
                source="netconf",
            )
        )
        net.wait(25)
    state = net.world.devices.get("pe1")
    assert state is not None
    assert state.reach is Reach.ANSWERING
    assert net.active() == ["pe1!session-lost:netconf"]
    assert net.notices(OutageNotice) == []
    net.say(slow(net, 0, source="netconf"))
    assert net.active() == []


def test_looks_of_another_source_neither_meter_twice_nor_stretch_a_sample() -> None:
    net = Net(both())
    octets = 0
    for _ in range(30):
        net.look("pe1", Ports({"p1": 1}, octets={"p1": (octets, octets)}))
        net.wait(7)
        net.say(slow(net, 0, source="netconf"))
        net.wait(23)
        octets += 30_000
    meter = current(net.world, ("s1", "pe1/if/p1"))
    assert meter is not None
    told = sum(r.in_octets for o in net.outcomes for r in o.usage)
    assert told + meter.slot_in == octets - 30_000
    assert meter.at == net.at - timedelta(seconds=30)
