"""A new configuration: nothing is left behind that belongs to nobody any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from netopsd.core.beliefs import Phase, Reach, State
from netopsd.core.inventory import Device, Inventory, Window
from netopsd.core.model import Reconfigured, Resource
from netopsd.core.outcome import AlarmNotice, OutageNotice
from tests.core.network import HOT, LINK_DOWN, T0, Net, Ports, gold, inventory, port
from tests.core.test_engine import chain, cycle
from tests.core.test_restart import restarted


def reload(net: Net, changed: Inventory) -> None:
    net.say(Reconfigured(at=net.at, inventory=changed))


def raised(net: Net) -> list[str]:
    return [n.alarm.key for n in net.notices(AlarmNotice) if n.what == "raised"]  # type: ignore[attr-defined]


def test_people_hear_of_the_cause_and_not_of_what_it_explains() -> None:
    net = chain()
    cycle(net, cut=False)
    for _ in range(6):
        cycle(net, cut=True)
    for _ in range(2):
        cycle(net, cut=False)
    told = [(n.alarm.key, n.what) for n in net.notices(AlarmNotice)]  # type: ignore[attr-defined]
    assert told == [("agg/if/p1!link-down", "raised"), ("agg/if/p1!link-down", "cleared")]


def test_people_do_not_hear_of_planned_work() -> None:
    window = Window(name="swap", starts=T0, ends=T0 + timedelta(hours=1), devices=frozenset({"gw"}))
    net = Net(replace(inventory({"gw": ()}), windows=(window,)))
    net.look("gw", Ports({"p1": 2}))
    assert raised(net) == []


def test_an_alarm_whose_rule_is_gone_ends() -> None:
    net = Net(inventory({"gw": ()}))
    net.look("gw", Ports({"p1": 2}))
    reload(net, replace(net.world.inventory, thresholds=(HOT,), events=()))
    assert net.active() == []


def test_an_alarm_whose_rule_went_while_we_were_stopped_ends_too() -> None:
    net = Net(inventory({"gw": ()}))
    net.look("gw", Ports({"p1": 2}))
    net = restarted(net, replace(net.world.inventory, thresholds=(HOT,), events=()))
    reload(net, net.world.inventory)  # what the daemon says first of all
    assert net.active() == []


def test_a_removed_device_is_forgotten() -> None:
    net = Net(inventory({"gw": (), "a": (), "b": ()}))
    for _ in range(4):
        net.miss("gw")
        net.up("a", "p1")
        net.up("b", "p1")
        net.wait(30)
    assert net.active() == ["gw!device-unreachable"]
    left = {n: d for n, d in net.world.inventory.devices.items() if n != "gw"}
    reload(net, replace(net.world.inventory, devices=left))
    assert net.active() == []
    state = net.world.devices.get("gw")
    assert state is not None
    assert state.reach is Reach.NEW
    again = {**left, "gw": Device(name="gw")}
    reload(net, replace(net.world.inventory, devices=again))
    net.miss("gw")
    assert net.active() == []


def test_what_the_removed_device_showed_is_forgotten() -> None:
    net = Net(inventory({"gw": ()}, services=[gold("s1", [port("gw", "p1")])]))
    net.up("gw", "p1")
    reload(net, inventory({"a": ()}))
    assert net.world.looks.get("gw") is None
    assert net.world.states.get(port("gw", "p1")) is None


def test_customers_of_a_service_that_ends_hear_that_its_outage_is_over() -> None:
    net = Net(inventory({"gw": ()}, services=[gold("s1", [port("gw", "p1")])]))
    net.up("gw", "p1")
    net.wait(30)
    net.look("gw", Ports({"p1": 2}))
    net.wait(30)
    reload(net, replace(net.world.inventory, services={}))
    assert [n.what for n in net.notices(OutageNotice)] == ["started", "ended"]  # type: ignore[attr-defined]
    assert net.world.outages.own == {}


def test_an_outage_of_a_service_that_went_while_we_were_stopped_ends_where_we_stopped() -> None:
    net = Net(inventory({"gw": ()}, services=[gold("s1", [port("gw", "p1")])]))
    net.up("gw", "p1")
    net.wait(30)
    net.look("gw", Ports({"p1": 2}))
    stopped = net.at
    net = restarted(net, replace(net.world.inventory, services={}))
    net.wait(3600)
    reload(net, net.world.inventory)
    (ended,) = net.outcomes[-1].outages.values()
    assert ended.ends == stopped
    state = net.world.services.get("s1")
    assert state is not None
    assert state.state is State.UNKNOWN


def test_time_before_a_reload_is_booked_by_the_windows_of_then() -> None:
    window = Window(name="swap", starts=T0, ends=T0 + timedelta(hours=2), devices=frozenset({"gw"}))
    before = replace(
        inventory({"gw": ()}, services=[gold("s1", [Resource("gw")])]), windows=(window,)
    )
    net = Net(before)
    net.up("gw", "p1")
    net.wait(20)
    reload(net, replace(before, windows=()))
    net.wait(40)
    net.up("gw", "p1")
    (period,) = net.world.periods.own.values()
    assert (period.excused_s, period.up_s) == (20.0, 40.0)


def test_what_no_longer_explains_an_alarm_is_lifted() -> None:
    net = chain()
    cycle(net, cut=False)
    for _ in range(6):
        cycle(net, cut=True)
    apart = {**net.world.inventory.devices, "cr1": Device(name="cr1")}
    reload(net, replace(net.world.inventory, devices=apart))
    assert "cr1!device-unreachable" in net.active()
    assert all(a.root for a in net.alarms(Phase.ACTIVE) if a.resource.device == "cpe1")


def test_a_reload_that_changes_nothing_changes_nothing() -> None:
    net = chain()
    cycle(net, cut=False)
    for _ in range(6):
        cycle(net, cut=True)
    reload(net, replace(net.world.inventory))
    last = net.outcomes[-1]
    assert (last.alarms, last.tickets, last.notices, last.devices) == ({}, {}, [], {})
    assert LINK_DOWN in net.world.inventory.thresholds


def test_time_in_which_a_service_was_not_configured_is_no_downtime_of_it() -> None:
    net = Net(inventory({"gw": ()}, services=[gold("S1", (port("gw", "p1"),))]))
    configured = net.world.inventory
    for state in [1] * 4 + [2] * 4:
        net.look("gw", Ports({"p1": state}))
        net.wait(30)
    reload(net, replace(configured, services={}))
    for _ in range(120):
        net.look("gw", Ports({"p1": 2}))
        net.wait(30)
    reload(net, configured)
    for _ in range(4):
        net.look("gw", Ports({"p1": 2}))
        net.wait(30)
    (period,) = net.world.periods.own.values()
    assert period.down_s <= 8 * 30
    assert period.up_s + period.down_s + period.unknown_s == (net.at - T0).total_seconds() - 30
    (outage,) = net.world.outages.own.values()
    assert outage.starts == T0 + timedelta(seconds=30 * 128)
