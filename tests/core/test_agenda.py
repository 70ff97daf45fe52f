"""What was to be judged again at a time is judged: late inputs, skipped ticks and all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from netopsd.core.inventory import EventRule, Policy
from netopsd.core.model import Batch, Clocks, Event, Events, Tick
from tests.core.network import T0, Net, Ports, inventory


def test_a_ticket_due_before_the_latest_tick_is_opened_at_the_next() -> None:
    """A look judged long after it was made asks for times that have passed."""
    net = Net(inventory({"gw": ()}, policy=Policy(ticket_hold_s=0)))
    net.say(Tick(T0 + timedelta(seconds=20)))
    net.look("gw", Ports({"p1": 2}))
    net.say(Tick(T0 + timedelta(seconds=21)))
    (ticket,) = net.tickets()
    assert ticket.cause == "gw/if/p1!link-down"


def test_ticks_may_be_missed_for_minutes_and_for_hours() -> None:
    for pause in (7, 600, 7200):
        net = Net(inventory({"gw": ()}, policy=Policy(silent_after_s=1e6)))
        net.wait(1)
        net.look("gw", Ports({"p1": 2}))
        net.wait(61 + pause)
        assert len(net.tickets()) == 1
        assert dict(net.world.due.items()) == {}


def test_an_alarm_of_a_moment_stands_as_long_as_its_rule_says() -> None:
    rule = EventRule(name="1.2.3", alarm="config-changed", momentary=True, momentary_s=900.0)
    net = Net(replace(inventory({"gw": ()}), events=(rule,)))
    event = Event(at=net.at, device="gw", source="192.0.2.1", name="1.2.3")
    net.say(Events(at=net.at, items=(event,)))
    for _ in range(29):
        net.wait(30)
        net.up("gw", "p1")
    assert net.active() == ["gw!config-changed"]
    net.wait(30)
    net.wait(1)
    assert net.active() == []


def test_a_restarted_device_is_told_of_for_five_minutes() -> None:
    net = Net(inventory({"gw": ()}))
    for ticks in (1_000_000, 100):
        batch = Batch(
            device="gw",
            at=net.at,
            mono_s=(net.at - T0).total_seconds(),
            clocks=Clocks(sys_uptime_ticks=ticks, hr_uptime_ticks=ticks),
        )
        net.say(batch)
        net.wait(30)
    assert net.active() == ["gw!device-restarted"]
    for _ in range(10):
        net.wait(30)
    assert net.active() == []
