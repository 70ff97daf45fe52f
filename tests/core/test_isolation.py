"""While we are cut off nobody can say how anything is: neither that it fails nor that it works."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from netopsd.core.beliefs import Outage, State
from netopsd.core.model import Batch, Blind, Reconfigured
from netopsd.core.outcome import OutageNotice
from tests.core.network import T0, Net, Ports, gold, inventory, port
from tests.core.test_restart import restarted

ISOLATED = "netopsd!poller-isolated"
NAMES = ("a", "b", "c", "d")


def settled() -> Net:
    net = Net(inventory({name: () for name in NAMES}, services=[gold("s1", [port("a", "p1")])]))
    for _ in range(4):
        everyone(net)
    return net


def everyone(net: Net, *, but: tuple[str, ...] = (), rounds: int = 1) -> None:
    for _ in range(rounds):
        for name in NAMES:
            if name in but:
                net.miss(name)
            else:
                net.up(name, "p1")
        net.wait(30)


def down_s(net: Net) -> float:
    return net.world.periods["s1", "2026-11"].down_s


def told(net: Net) -> list[str]:
    return [n.what for n in net.notices(OutageNotice)]  # type: ignore[attr-defined]


def the_open_outage(net: Net) -> Outage:
    (outage,) = net.world.outages.own.values()
    return outage


def cut_off_with_a_down(*, stopped: bool = False) -> Net:
    """A device is unreachable; then, for an hour, they all are."""
    net = settled()
    everyone(net, but=("a",), rounds=8)
    assert (down_s(net), told(net)) == (210.0, ["started"])
    everyone(net, but=NAMES, rounds=10)
    assert ISOLATED in net.active()
    outcomes = net.outcomes
    if stopped:
        net = restarted(net)
        net.outcomes = outcomes
    everyone(net, but=NAMES, rounds=110)
    return net


@pytest.mark.parametrize("stopped", [False, True])
def test_what_was_down_before_we_were_cut_off_costs_nothing_while_we_are(stopped: bool) -> None:
    net = cut_off_with_a_down(stopped=stopped)
    assert 210.0 <= down_s(net) <= 300.0, "three lost looks tell us that we are cut off"
    assert told(net) == ["started"], "nobody may hear that it works again"
    before = down_s(net)
    everyone(net)
    period = net.world.periods["s1", "2026-11"]
    assert period.down_s == before
    assert period.unknown_s > 3000.0
    assert told(net) == ["started", "ended"]
    ended = net.world.ended.own["s1"]
    assert ended.uncertainty_s >= 3000.0, "when it came back nobody saw"


@pytest.mark.parametrize("stopped", [False, True])
def test_what_is_down_still_once_we_are_back_is_down_from_its_next_failed_look_on(
    stopped: bool,
) -> None:
    net = cut_off_with_a_down()
    outage, before = the_open_outage(net), down_s(net)
    outcomes = net.outcomes
    net.up("b", "p1")
    if stopped:
        net = restarted(net)
        net.outcomes = outcomes
    net.wait(10)
    back = net.at
    everyone(net, but=("a",), rounds=20)
    net.miss("a")
    assert "a!device-unreachable" in net.active()
    assert down_s(net) == before + (net.at - back).total_seconds()
    assert the_open_outage(net).id == outage.id
    assert told(net) == ["started"]
    everyone(net)
    assert told(net) == ["started", "ended"]


def test_a_look_that_was_begun_while_we_were_cut_off_proves_nothing() -> None:
    net = cut_off_with_a_down()
    before = down_s(net)
    net.up("b", "p1")
    late = Batch(
        device="a",
        at=net.at + timedelta(seconds=3),
        mono_s=0.0,
        took_s=9.0,
        blind=Blind.UNREACHABLE,
    )
    net.say(late)
    assert net.world.services["s1"].state is State.UNKNOWN
    net.wait(30)
    everyone(net)
    assert down_s(net) == before


def test_a_device_looked_at_seldom_is_not_called_unreachable_while_we_are_cut_off() -> None:
    net = settled()
    net.miss("a")  # before the others answer for the last time
    net.wait(10)
    for n in range(40):
        for name in ("b", "c", "d"):
            if n == 0:
                net.up(name, "p1")
            else:
                net.miss(name)
        if n % 8 == 7:
            net.miss("a")
        net.wait(30)
    assert ISOLATED in net.active()
    assert "a!device-unreachable" not in net.active()
    assert down_s(net) == 0.0
    assert net.world.services["s1"].state is State.UNKNOWN


def test_a_pulled_card_is_missing_still_after_we_were_cut_off() -> None:
    net = settled()
    for rounds, but in ((3, ()), (20, NAMES), (3, ())):
        for _ in range(rounds):
            for name in NAMES:
                if name in but:
                    net.miss(name)
                else:
                    net.up(name, "p2" if name == "a" else "p1")
            net.wait(30)
    assert net.world.services["s1"].state is State.DOWN
    assert told(net) == ["started"]
    everyone(net)
    assert told(net) == ["started", "ended"]
    assert net.active() == []


def test_a_port_that_vanished_while_we_were_cut_off_leaves_no_outage_open() -> None:
    net = settled()
    for _ in range(3):
        net.look("a", Ports({"p1": 2}))
        net.wait(30)
    everyone(net, but=NAMES, rounds=20)
    assert the_open_outage(net).ends is None
    net.up("a", "p2")
    assert net.world.outages.own == {}


def test_a_line_that_comes_and_goes_hides_no_device_that_is_really_lost() -> None:
    net = settled()
    for _ in range(9):
        everyone(net, but=NAMES, rounds=4)
        everyone(net)
    isolated = net.world.alarms[ISOLATED]
    assert isolated.flapping
    assert net.at > T0
    everyone(net, but=("a",), rounds=8)
    assert "a!device-unreachable" in net.active()
    everyone(net, but=NAMES, rounds=8)
    assert net.world.services["s1"].state is State.UNKNOWN, "and we may be cut off once more"


@pytest.mark.parametrize("stopped", [False, True])
def test_the_outage_of_a_service_taken_out_while_we_are_cut_off_ends_with_it(stopped: bool) -> None:
    net = cut_off_with_a_down()
    without = replace(net.world.inventory, services={})
    if stopped:
        outcomes = net.outcomes
        net = restarted(net, without)
        net.outcomes = outcomes
    net.say(Reconfigured(at=net.at, inventory=without))
    assert not net.world.outages.own
    if not stopped:  # else nobody knows whose it was
        assert told(net) == ["started", "ended"]
