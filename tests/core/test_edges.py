"""Edges that planted bugs once got through."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np

from netopsd.core.beliefs import Phase
from netopsd.core.inventory import EventRule, Policy
from netopsd.core.model import Blind, Event, Events, Layout, Resource, Table
from netopsd.core.outcome import OutageNotice, ViolationNotice
from netopsd.core.rates import CounterPlan, deltas
from tests.core.network import T0, Net, Ports, gold, inventory, port
from tests.core.test_oracle import network
from tests.core.test_restart import restarted


def test_a_flapping_alarm_settles_also_after_a_restart() -> None:
    net = Net(inventory({"gw": ()}))
    for n in range(20):
        net.look("gw", Ports({"p1": 2 - n % 2}))
        net.wait(5)
    (flapping,) = net.alarms(Phase.ACTIVE)
    assert flapping.flapping
    net = restarted(net)
    for _ in range(240):  # each change doubled its weight: it takes long to be forgotten
        net.up("gw", "p1")
        net.wait(30)
    assert net.alarms(Phase.ACTIVE) == []


def test_a_service_exactly_at_its_target_has_kept_its_promise() -> None:
    month_s = 30 * 86_400
    allowed = Decimal(month_s - 600) / month_s  # ten minutes, and not a second more
    net = Net(inventory({"gw": ()}, services=[gold("s1", [port("gw", "p1")], target=str(allowed))]))
    net.up("gw", "p1")
    net.wait(30)
    for _ in range(20):
        net.look("gw", Ports({"p1": 2}))
        net.wait(30)
    net.look("gw", Ports({"p1": 2}))
    (period,) = net.world.periods.own.values()
    assert period.down_s == 600.0
    assert net.notices(ViolationNotice) == []
    net.wait(30)
    net.look("gw", Ports({"p1": 2}))
    assert len(net.notices(ViolationNotice)) == 1


def test_a_counter_that_stood_still_grew_by_nothing_and_that_is_known() -> None:
    layout = Layout(
        table="if",
        rows=("p1",),
        index=("1",),
        labels={},
        counters=("ifHCInOctets", "ifInOctets"),
        widths=(64, 32),
        gauges=(),
    )
    table = Table(layout, np.array([[7], [7]], dtype=np.uint64), np.zeros((0, 1)))
    grown = deltas(CounterPlan.of(layout), table, table, 30.0)
    assert grown.valid.all()
    assert not grown.grown.any()


def test_a_port_not_looked_at_since_the_silence_may_yet_be_the_cause() -> None:
    """Behind a port that is asked last, the device waits for it before it speaks for itself."""
    net = Net(inventory({"agg": (), "cpe": [port("agg", "p1")], "a": (), "b": ()}))
    for _ in range(2):
        for name in ("agg", "cpe", "a", "b"):
            net.up(name, "p1")
        net.wait(30)
    for n in range(4):
        net.miss("cpe")
        net.up("a", "p1")
        net.up("b", "p1")
        net.wait(30)
        if n == 3:
            net.look("agg", Ports({"p1": 2}))
    net.miss("cpe")
    alarms = {a.key: a.root for a in net.alarms(Phase.ACTIVE)}
    assert alarms["cpe!device-unreachable"] == "agg/if/p1!link-down"
    spoken = [c for o in net.outcomes for c in o.changes if c.alarm == "cpe!device-unreachable"]
    assert [c.what for c in spoken] == ["raised", "suppressed"]


def test_when_two_fail_the_outage_begins_with_the_one_that_was_silent_first() -> None:
    net = Net(network())
    steady = ("a", "b", "c", "d")
    for x, y in ((1, 1), (1, 0), (1, 0), (2, 0), (2, 0), (2, 0)):
        for name in steady:
            net.up(name, "p1")
        net.look("x", Ports({"p1": x}))
        if y:
            net.up("y", "p1")
        else:
            net.miss("y")
        net.wait(30)
    (started,) = [n.outage for n in net.notices(OutageNotice) if n.outage.service == "both"]  # type: ignore[attr-defined]
    assert started.starts == T0 + timedelta(seconds=30)


def test_a_device_unreachable_without_its_alarm_is_only_that() -> None:
    """Its alarm was one too many; looking again must not stumble over that."""
    found = inventory({"gw": (), "a": (), "b": ()}, policy=Policy(alarms_per_device=1))
    net = Net(replace(found))
    net.look("gw", Ports({"p1": 2}))
    for _ in range(6):
        net.miss("gw")
        net.up("a", "p1")
        net.up("b", "p1")
        net.wait(30)
    assert "gw!alarm-overflow" in net.active()
    net.miss("gw", Blind.REJECTED)
    assert net.world.by_device.get("gw")
    assert net.world.devices.get(Resource("gw").device) is not None


def test_a_ticket_that_was_due_while_we_were_stopped_is_opened_in_its_time() -> None:
    net = Net(inventory({"gw": ()}))
    net.look("gw", Ports({"p1": 2}))
    net = restarted(net)
    net.wait(30)
    assert net.tickets() == []
    net.wait(31)
    assert [t.cause for t in net.tickets()] == ["gw/if/p1!link-down"]


def test_an_alarm_of_a_moment_ends_in_its_time_also_after_a_restart() -> None:
    rule = EventRule(name="1.2.3", alarm="config-changed", momentary=True, momentary_s=900.0)
    net = Net(replace(inventory({"gw": ()}, policy=Policy(silent_after_s=1e6)), events=(rule,)))
    event = Event(at=net.at, device="gw", source="192.0.2.1", name="1.2.3")
    net.say(Events(at=net.at, items=(event,)))
    net = restarted(net)
    net.wait(890)
    assert net.active() == ["gw!config-changed"]
    net.wait(11)
    assert net.active() == []


def test_a_flapping_alarm_nobody_looks_at_any_more_stops_flapping_after_a_restart() -> None:
    net = Net(inventory({"gw": ()}, policy=Policy(silent_after_s=1e6)))
    for n in range(20):
        net.look("gw", Ports({"p1": 2 - n % 2}))
        net.wait(5)
    net = restarted(net)
    for _ in range(4):
        net.wait(3000)
    (alarm,) = net.alarms(Phase.ACTIVE)
    assert not alarm.flapping


def test_three_devices_are_enough_to_say_that_we_are_cut_off_and_two_are_not() -> None:
    for count in (2, 3):
        names = ("a", "b", "c")[:count]
        net = Net(inventory({name: () for name in names}))
        for name in names:
            net.up(name, "p1")
        net.wait(30)
        for _ in range(7):
            for name in names:
                net.miss(name)
            net.wait(30)
        assert ("netopsd!poller-isolated" in net.active()) == (count == 3)
