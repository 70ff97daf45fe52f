"""Every alarm can end: nothing is active for ever because nobody is left to see it good."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

from netopsd.core.beliefs import Phase
from netopsd.core.inventory import EventRule, Policy
from netopsd.core.model import Acknowledge, Blind, Event, Events, Reconfigured, Resource
from netopsd.core.outcome import AlarmNotice
from tests.core.network import TRAP_LINK_DOWN, TRAP_LINK_UP, Net, Ports, inventory
from tests.core.test_restart import restarted

LINK_DOWN_TRAP, LINK_UP = TRAP_LINK_DOWN.name, TRAP_LINK_UP.name


def settled() -> Net:
    net = Net(inventory({name: () for name in ("a", "b", "c", "d")}))
    everyone(net)
    return net


def everyone(net: Net, *, but: tuple[str, ...] = ()) -> None:
    for name in net.world.inventory.devices:
        if name in but:
            net.miss(name)
        else:
            net.up(name, "p1")
    net.wait(30)


def test_too_long_silence_ends_with_the_next_answer_of_a_device_that_never_missed() -> None:
    net = settled()
    for _ in range(40):
        net.wait(30)  # nobody looked: our own fault
    assert "a!too-long-silence" in net.active()
    everyone(net)
    assert net.active() == []


def test_an_unreachable_alarm_acknowledged_after_the_answer_was_sent_still_clears() -> None:
    net = settled()
    for _ in range(3):
        everyone(net, but=("a",))
    late = net.at
    net.wait(2)
    net.say(Acknowledge(at=net.at, by="kari", alarm="a!device-unreachable"))
    net.at = late  # the answer was seen before the acknowledgement, and is judged after it
    net.up("a", "p1")
    net.at += timedelta(seconds=30)
    everyone(net)
    assert net.active() == []


def test_a_device_looked_at_more_often_than_the_others_does_not_isolate_us() -> None:
    net = settled()
    for _ in range(8):  # the others' turn does not come for minutes
        net.wait(30)
        net.miss("a")
    assert net.active() == ["a!device-unreachable"]
    everyone(net, but=("a",))
    assert net.active() == ["a!device-unreachable"]


def test_a_miss_right_after_a_restart_is_not_our_isolation() -> None:
    net = settled()
    for _ in range(2):
        everyone(net, but=("a",))
    again = restarted(net)
    again.miss("a")
    assert "netopsd!poller-isolated" not in again.active()


def test_isolation_ends_with_any_answer() -> None:
    net = settled()
    for _ in range(5):
        everyone(net, but=("a", "b", "c", "d"))
    assert net.active() == ["netopsd!poller-isolated"]
    again = restarted(net)
    again.miss("a", Blind.REJECTED)
    assert "netopsd!poller-isolated" not in again.active()


def test_three_refusals_and_one_lost_look_are_not_three_lost_looks() -> None:
    net = settled()
    for _ in range(3):
        net.miss("a", Blind.REJECTED)
        everyone_but_a(net)
    net.miss("a")
    assert net.active() == ["a!access-refused"]


def everyone_but_a(net: Net) -> None:
    for name in ("b", "c", "d"):
        net.up(name, "p1")
    net.wait(30)


def test_a_device_meant_to_be_seen_once_an_hour_is_not_silent_for_too_long() -> None:
    net = Net(inventory({"a": ()}, interval_s=3600))
    for _ in range(2):
        net.up("a", "p1")
        for _ in range(60):
            net.wait(60)
    assert net.active() == []


def busy(net: Net, looks: int, share: float) -> None:
    """So many looks at a port of 1 Gb/s in use to such a share."""
    for _ in range(looks):
        net.wait(30)

        net.octets = sent = net.octets + round(30 * share * 125_000_000)
        net.look("a", Ports({"p1": 1}, octets={"p1": (sent, 0)}))


def a_busy_port() -> Net:
    net = settled()
    busy(net, 3, 0.95)
    assert net.active() == ["a/if/p1!utilisation-high"]
    return net


def test_an_alarm_of_a_rate_outlives_a_restart() -> None:
    net = restarted(a_busy_port())
    busy(net, 1, 0.95)  # one look gives no rate: nothing is known, so nothing changes
    assert net.active() == ["a/if/p1!utilisation-high"]
    busy(net, 1, 0.8)  # between the two thresholds
    assert net.active() == ["a/if/p1!utilisation-high"]
    assert net.notices(AlarmNotice) == []
    busy(net, 1, 0.5)
    assert net.active() == []


def test_an_alarm_of_a_rate_outlives_a_reload_and_a_new_walk() -> None:
    net = a_busy_port()
    net.say(Reconfigured(at=net.at, inventory=replace(net.world.inventory)))
    busy(net, 1, 0.8)
    net.layouts.clear()
    busy(net, 2, 0.8)
    assert net.active() == ["a/if/p1!utilisation-high"]
    assert len(net.alarms(Phase.CLEARED)) == 0


def test_a_port_that_is_down_again_before_the_next_look_is_told_of() -> None:
    net = settled()
    net.look("a", Ports({"p1": 2}))
    net.wait(5)
    net.trap("a", LINK_UP, "1", authenticated=True)
    assert net.active() == []
    net.wait(25)  # down again meanwhile, and that trap was lost
    net.look("a", Ports({"p1": 2}))
    assert net.active() == ["a/if/p1!link-down"]


def test_a_trap_of_a_port_that_does_not_exist_raises_nothing_and_asks_for_a_look() -> None:
    net = settled()
    outcome = net.trap("a", LINK_DOWN_TRAP, "4711")
    assert net.active() == []
    assert outcome.verify


def test_a_trap_of_no_port_at_all_raises_nothing() -> None:
    net = settled()
    event = Event(at=net.at, device="a", source="192.0.2.1", name=LINK_DOWN_TRAP)
    outcome = net.say(Events(at=net.at, items=(event,)))
    assert net.active() == []
    assert outcome.verify


def test_a_trap_before_the_first_look_is_settled_by_that_look() -> None:
    net = Net(inventory({"a": (), "b": ()}))
    net.trap("a", LINK_DOWN_TRAP, "1")
    assert net.active() == ["a/if/#1!link-down"]
    net.wait(1)
    net.up("a", "p1")
    assert net.active() == []


def test_nobody_speaks_for_another_device() -> None:
    net = settled()
    said = Event(
        at=net.at,
        device="a",
        source="192.0.2.1",
        name="alarm-notification",
        authenticated=True,
        alarm="fan-failed",
        severity="major",
        resource=Resource("b"),
    )
    net.say(Events(at=net.at, items=(said,)))
    assert net.active() == ["a!fan-failed"]


def test_something_that_happens_again_and_again_ends_when_it_has_been_quiet() -> None:
    rule = EventRule(name="1.2.3", alarm="config-changed", momentary=True, momentary_s=300.0)
    net = Net(replace(inventory({"a": ()}), events=(rule,)))
    event = Event(at=net.at, device="a", source="192.0.2.1", name="1.2.3")
    for _ in range(4):
        net.say(Events(at=net.at, items=(replace(event, at=net.at),)))
        net.wait(200)
        assert net.active() == ["a!config-changed"]
    net.say(Acknowledge(at=net.at, by="kari", alarm="a!config-changed"))
    for _ in range(310):
        net.wait(1)
    assert net.active() == []
    (ended,) = net.alarms(Phase.CLEARED)
    assert (ended.occurrence, ended.count) == (1, 4)


def test_the_overflow_of_alarms_ends_and_what_was_refused_is_told_then() -> None:
    net = Net(inventory({"a": ()}, policy=Policy(alarms_per_device=10)))
    ports = {f"p{n}": 2 for n in range(20)}
    net.look("a", Ports(ports))
    assert len(net.active()) == 11
    assert "a!alarm-overflow" in net.active()
    net.wait(30)
    repaired = {row: (1 if n < 15 else 2) for n, row in enumerate(ports)}
    net.look("a", Ports(repaired))
    net.wait(30)
    net.look("a", Ports(repaired))
    assert net.active() == [f"a/if/p{n}!link-down" for n in range(15, 20)]


def test_a_port_whose_admin_state_could_not_be_read_stays_down() -> None:
    net = settled()
    net.look("a", Ports({"p1": 2}))
    net.wait(30)
    net.look("a", Ports({"p1": 2}, admin={"p1": math.nan}))
    assert net.active() == ["a/if/p1!link-down"]


def test_a_port_a_device_calls_good_too_early_is_told_of_at_the_next_look() -> None:
    net = settled()
    net.look("a", Ports({"p1": 2}))
    net.wait(5)
    said = Event(
        at=net.at,
        device="a",
        source="192.0.2.1",
        name="alarm-notification",
        authenticated=True,
        alarm="link-down",
        severity="cleared",
        resource=Resource("a", "if", "p1"),
    )
    net.say(Events(at=net.at, items=(said,)))
    assert net.active() == []
    net.wait(25)
    net.look("a", Ports({"p1": 2}))
    assert net.active() == ["a/if/p1!link-down"]
