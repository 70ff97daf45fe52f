"""Every alarm can end: nothing is active for ever because nobody is left to see it good."""

from __future__ import annotations

from datetime import timedelta

from netopsd.core.model import Acknowledge, Blind
from tests.core.network import Net, inventory
from tests.core.test_restart import restarted


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
