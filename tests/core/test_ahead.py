"""The clock was ahead, was put right, and netopsd started anew: nothing waits for then."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest

from netopsd.core import ahead
from netopsd.core.beliefs import Phase, SlaPeriod, State, TicketStatus
from netopsd.core.outcome import Beliefs, OutageNotice, Outcome, ViolationNotice
from netopsd.core.restore import restore
from netopsd.core.world import STORED
from tests.core.network import T0, Net, Ports, gold, inventory, port

NAMES = ("a", "b", "c")


def network() -> Net:
    services = [gold("s1", [port("a", "p1")])]
    return Net(inventory({name: () for name in NAMES}, services=services))


def rounds(net: Net, many: int, oper: int = 1, *, lost: tuple[str, ...] = ()) -> None:
    for _ in range(many):
        for name in NAMES:
            if name in lost:
                net.miss(name)
            else:
                net.look(name, Ports({"p1": oper if name == "a" else 1}))
        net.wait(30)


def believed(net: Net) -> Beliefs:
    beliefs = Beliefs(**{name: dict(getattr(net.world, name).own) for name in STORED})
    beliefs.outages |= {outage.id: outage for outage in net.world.ended.own.values()}
    return beliefs


def started(net: Net, now: datetime) -> Net:
    """The same network at `now`, by a daemon that knows what was stored."""
    beliefs = believed(net)
    changed = ahead.put_back(beliefs, now)
    known = ahead.believed(beliefs, changed)
    assert ahead.count(ahead.put_back(known, now)) == 0, "it is done once"
    again = Net(net.world.inventory, restore(net.world.inventory, known))
    again.at, again.outcomes = now, net.outcomes
    return again


def a_clock_that_was_ahead(by: timedelta, oper: int = 1, *, lost: tuple[str, ...] = ()) -> Net:
    """Ten minutes as they should be, a minute `by` so much later, and a start two minutes on."""
    net = network()
    rounds(net, 20)
    right = net.at
    net.at += by
    rounds(net, 4, oper, lost=lost)
    return started(net, right + timedelta(minutes=2))


def booked(net: Net) -> float:
    return sum(seconds(p) for _, p in net.world.periods.items())


def seconds(period: SlaPeriod) -> float:
    return period.up_s + period.down_s + period.unknown_s + period.excused_s


def test_an_alarm_of_a_day_to_come_clears_with_the_first_good_look_and_comes_again() -> None:
    net = a_clock_that_was_ahead(timedelta(days=90), oper=2)
    assert net.active() == ["a/if/p1!link-down"]
    rounds(net, 2)
    assert net.active() == []
    (ended,) = net.alarms(Phase.CLEARED)
    assert ended.changed_at <= net.at
    rounds(net, 6, oper=2)
    assert net.active() == ["a/if/p1!link-down"]
    assert [t.cause for t in net.tickets() if t.status is not TicketStatus.RESOLVED] != []


def test_an_alarm_raised_on_a_day_to_come_gets_its_ticket_in_its_time() -> None:
    net = network()
    rounds(net, 20)
    right = net.at
    net.at += timedelta(days=90)
    net.look("a", Ports({"p1": 2}))
    net = started(net, right)
    assert net.tickets() == []
    rounds(net, 4, oper=2)
    (ticket,) = net.tickets()
    assert ticket.opened_at < net.at
    rounds(net, 4)
    assert [t.status for t in net.tickets()] == [TicketStatus.RESOLVED]
    net.wait(2 * 86_400)
    assert net.tickets() == [], "closed in its time, too"


def test_a_device_lost_on_a_day_to_come_is_found_and_lost_again() -> None:
    net = a_clock_that_was_ahead(timedelta(days=90), lost=("a",))
    assert "a!device-unreachable" in net.active()
    rounds(net, 2)
    assert net.active() == []
    rounds(net, 6, lost=("a",))
    assert net.active() == ["a!device-unreachable"]


@pytest.mark.parametrize("oper", [1, 2])
def test_outages_are_told_with_the_times_they_have_though_their_time_is_booked(oper: int) -> None:
    net = a_clock_that_was_ahead(timedelta(days=90), oper)
    rounds(net, 2)
    for _ in range(2):
        rounds(net, 6, oper=2)
        rounds(net, 6)
    told = [n for n in net.notices(OutageNotice) if isinstance(n, OutageNotice)]
    assert [n.what for n in told] == ["started", "ended"] * (2 + (oper == 2))
    assert len({n.outage.id for n in told}) == len(told) / 2, "each has a name of its own"
    for notice in told:
        if notice.outage.ends is not None:
            assert notice.outage.starts <= notice.outage.ends <= net.at


@pytest.mark.parametrize("by", [timedelta(minutes=4), timedelta(hours=3)])
def test_no_second_is_booked_twice_and_what_was_unknown_becomes_what_it_is(by: timedelta) -> None:
    net = a_clock_that_was_ahead(by)
    ahead_until = max(o.services["s1"].until for o in net.outcomes if "s1" in o.services)
    before = booked(net)
    unknown_s = sum(p.unknown_s for _, p in net.world.periods.items())
    assert before == pytest.approx((ahead_until - T0).total_seconds())
    began = net.at
    rounds(net, 60, oper=2)
    known_s = sum(p.down_s for _, p in net.world.periods.items())
    if by > timedelta(hours=1):
        assert booked(net) == pytest.approx(before), "its time was booked already"
        assert known_s == pytest.approx((net.at - began).total_seconds(), abs=60)
        assert sum(p.unknown_s for _, p in net.world.periods.items()) == unknown_s - known_s
    while net.at < ahead_until:
        rounds(net, 10)
    rounds(net, 10)
    until = net.world.services["s1"].until
    assert booked(net) == pytest.approx((until - T0).total_seconds())


def test_a_promise_broken_in_time_that_was_booked_as_unknown_is_told() -> None:
    net = a_clock_that_was_ahead(timedelta(days=90))
    rounds(net, 2)
    rounds(net, 120, oper=2)
    (notice,) = net.notices(ViolationNotice)
    assert isinstance(notice, ViolationNotice)
    assert notice.violation.id == "s1/2026-11/tier-1"
    assert notice.violation.detected_at < net.at


def test_it_is_known_after_another_start_that_time_was_booked_ahead() -> None:
    net = a_clock_that_was_ahead(timedelta(days=10))
    before = booked(net)
    rounds(net, 20)
    net = started(net, net.at)
    rounds(net, 20)
    assert booked(net) == pytest.approx(before)
    assert net.world.services["s1"].state is State.UP


def test_a_clock_that_was_right_changes_nothing_nor_do_a_few_seconds() -> None:
    net = network()
    rounds(net, 20)
    rounds(net, 8, oper=2, lost=("b",))
    latest = net.at - timedelta(seconds=30)
    for now in (net.at, latest - timedelta(seconds=5)):
        changed = ahead.put_back(believed(net), now)
        assert ahead.count(changed) == 0
        assert all(not getattr(changed, one.name) for one in fields(Outcome))
    assert ahead.count(ahead.put_back(believed(net), latest - timedelta(seconds=6))) > 0


def test_a_start_in_1970_books_no_month_once_the_clock_is_right() -> None:
    """As of a machine whose clock has no battery; a month for each service would be much work."""
    net = network()
    rounds(net, 20)
    right, before = net.at + timedelta(minutes=10), booked(net)
    net = started(net, datetime(1970, 1, 1, tzinfo=UTC))
    net.at = right
    rounds(net, 20)
    assert len(net.world.periods) <= 2
    until = net.world.services["s1"].until
    assert booked(net) == pytest.approx((until - T0).total_seconds())
    assert booked(net) > before
