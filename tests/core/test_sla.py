"""Availability, budgets and broken promises: arithmetic of months, maintenance and the unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netopsd.core import maintenance, sla
from netopsd.core.beliefs import Outage, SlaPeriod, State
from netopsd.core.inventory import Tier, Window
from netopsd.core.model import Reconfigured, Resource
from netopsd.core.outcome import BudgetNotice, OutageNotice, ViolationNotice
from netopsd.core.restore import restore
from tests.core.network import T0, Net, Ports, gold, inventory, port
from tests.core.test_restart import restarted


def test_a_month_has_as_many_hours_as_the_customers_clocks_say() -> None:
    def hours(zone: str, year: int, month: int) -> float:
        starts, ends = sla.month(zone, year, month)
        return (ends - starts).total_seconds() / 3600

    assert hours("Europe/Oslo", 2026, 3) == 743
    assert hours("Europe/Oslo", 2026, 10) == 745
    assert hours("America/New_York", 2026, 11) == 721
    assert hours("Asia/Kolkata", 2026, 11) == 720
    assert hours("Pacific/Apia", 2011, 12) == 31 * 24 - 24  # the day that was skipped


def test_months_of_every_zone_join_without_hole_or_overlap() -> None:
    for zone in sorted(available_timezones())[::7]:
        for year in (2011, 2026, 2037):
            for number in range(1, 12):
                assert sla.month(zone, year, number)[1] == sla.month(zone, year, number + 1)[0]


def test_the_month_belongs_to_the_customers_zone() -> None:
    at = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)  # half past midnight in Oslo
    assert sla.month_of("Europe/Oslo", at)[0] == "2026-12"
    assert sla.month_of("America/New_York", at)[0] == "2026-11"


SERVICE = gold("s1", [Resource("gw")], target="0.999")


def period(**seconds: float) -> SlaPeriod:
    name, starts, ends = sla.month_of("Europe/Oslo", T0)
    return SlaPeriod(
        service="s1", period=name, starts=starts, ends=ends, target=SERVICE.target, **seconds
    )


def test_excused_time_leaves_numerator_and_denominator() -> None:
    month_s = 30 * 86400
    worst, best = sla.availability(SERVICE, period(down_s=2592.0))
    assert worst == best == Decimal("0.999000000")
    half = period(excused_s=month_s / 2, down_s=1296.0)
    assert sla.availability(SERVICE, half)[1] == Decimal("0.999000000")


def test_the_unknown_is_neither_up_nor_down_but_bounds() -> None:
    worst, best = sla.availability(SERVICE, period(down_s=2592.0, unknown_s=2592.0))
    assert (worst, best) == (Decimal("0.998000000"), Decimal("0.999000000"))


def test_the_budget_is_what_the_promise_allows() -> None:
    assert sla.budget_s(SERVICE, period()) == pytest.approx(2592.0)
    assert sla.burn(SERVICE, period(down_s=1296.0)) == pytest.approx(0.5)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(1, 10**5), st.sampled_from(list(State))),
        max_size=20,
    ),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**5)), max_size=5),
)
def test_every_second_is_booked_exactly_once(
    spans: list[tuple[int, int, State]], planned: list[tuple[int, int]]
) -> None:
    windows = tuple(
        Window(
            name=f"w{i}",
            starts=T0 + timedelta(seconds=a),
            ends=T0 + timedelta(seconds=a + n),
            services=frozenset({"s1"}),
        )
        for i, (a, n) in enumerate(planned)
    )
    base = inventory({"gw": []}, services=[SERVICE])
    world = restore(replace(base, windows=windows))
    at, total = T0, 0
    for skip, length, state in spans:
        at += timedelta(seconds=skip)
        until = at + timedelta(seconds=length)
        sla.account(world, SERVICE, state, (at, until))
        at, total = until, total + length
    booked = sum(p.up_s + p.down_s + p.unknown_s + p.excused_s for _, p in world.periods.items())
    assert booked == pytest.approx(total)


MILD, BAD = ("0.999", "0.10"), ("0.99", "0.25")


@pytest.mark.parametrize(
    ("at_first", "then", "shares"),
    [
        ((MILD, BAD), (MILD, BAD), ["0.10", "0.15"]),
        ((MILD, BAD), (BAD,), ["0.10", "0.15"]),  # the second place became the first
        ((MILD, BAD), (("0.9995", "0.05"), MILD, BAD), ["0.10", "0.15"]),
        ((MILD,), (MILD, BAD), ["0.10", "0.15"]),
        ((MILD, BAD), (("0.9995", "0.05"), MILD), ["0.10"]),
        ((MILD,), (("0.99", "0.05"),), ["0.10", "0.00"]),  # broken, and paid for already
    ],
)
def test_a_contract_changed_in_mid_month_loses_no_credit_and_gives_none_twice(
    at_first: tuple[tuple[str, str], ...],
    then: tuple[tuple[str, str], ...],
    shares: list[str],
) -> None:
    """An hour of a month breaks the mild promise, ten hours the bad one."""
    base = inventory({"gw": []}, services=[SERVICE])
    world = restore(base)
    at = T0
    for hours, tiers in ((1, at_first), (1, then), (10, then)):
        promised = tuple(Tier(below=Decimal(b), credit=Decimal(c)) for b, c in tiers)
        service = replace(SERVICE, tiers=promised)
        until = at + timedelta(hours=hours)
        sla.account(world, service, State.DOWN, (at, until))
        outage = Outage(id="o", service="s1", starts=T0)
        sla.judge(world, service, outage, (at, until))
        at = until
    found = [n.violation for n in world.out.notices if isinstance(n, ViolationNotice)]
    assert [violation.credit_share for violation in found] == [Decimal(share) for share in shares]
    assert len({violation.id for violation in found}) == len(found)


def test_overlapping_windows_are_counted_once() -> None:
    def window(a: int, b: int) -> Window:
        return Window(name="w", starts=T0 + timedelta(hours=a), ends=T0 + timedelta(hours=b))

    union = maintenance.excused(
        (window(0, 2), window(1, 3), window(5, 6)), T0, T0 + timedelta(hours=10)
    )
    assert union == (
        (T0, T0 + timedelta(hours=3)),
        (T0 + timedelta(hours=5), T0 + timedelta(hours=6)),
    )


def story(**services: object) -> Net:
    two_ways = gold("any", [port("a", "p1"), port("b", "p1")])
    both = gold("all", [port("a", "p1")], [port("b", "p1")])
    return Net(inventory({"a": [], "b": [], "c": []}, services=[two_ways, both]))


def state(net: Net, name: str) -> State:
    known = net.world.services.get(name)
    assert known is not None
    return known.state


def run(net: Net, a: int, b: int, looks: int = 3) -> None:
    for _ in range(looks):
        net.look("a", Ports({"p1": a}))
        net.look("b", Ports({"p1": b}))
        net.wait(30)


def test_any_of_two_ways_carries_and_all_of_them_are_needed() -> None:
    net = story()
    run(net, 1, 1)
    assert (state(net, "any"), state(net, "all")) == (State.UP, State.UP)
    run(net, 2, 1)
    assert (state(net, "any"), state(net, "all")) == (State.UP, State.DOWN)
    run(net, 2, 2)
    assert (state(net, "any"), state(net, "all")) == (State.DOWN, State.DOWN)
    run(net, 1, 2)
    assert (state(net, "any"), state(net, "all")) == (State.UP, State.DOWN)


def test_downtime_is_counted_from_first_bad_to_first_good_sample() -> None:
    net = story()
    run(net, 1, 1)
    run(net, 2, 2, looks=10)
    run(net, 1, 1)
    down = {k[0]: p.down_s for k, p in net.world.periods.items()}
    assert down == {"any": pytest.approx(300.0), "all": pytest.approx(300.0)}


def test_the_budget_warns_at_half_at_four_fifths_and_at_all_of_it() -> None:
    net = story()
    run(net, 1, 1)
    run(net, 2, 2, looks=100)  # 3000 s of 2592 s allowed
    burns = [n.burn for n in net.notices(BudgetNotice) if n.period.service == "any"]  # type: ignore[attr-defined]
    assert burns == [50, 80, 100]
    broken = [n.violation.id for n in net.notices(ViolationNotice)]  # type: ignore[attr-defined]
    assert sorted(broken) == ["all/2026-11/tier-1", "any/2026-11/tier-1"]


def test_planned_work_costs_nothing_and_tells_nobody() -> None:
    base = story().world.inventory
    window = Window(
        name="CHG-7",
        starts=T0,
        ends=T0 + timedelta(hours=2),
        devices=frozenset({"a", "b"}),
        why="new line card",
    )
    net = Net(replace(base, windows=(window,)))
    run(net, 1, 1)
    run(net, 2, 2, looks=100)
    run(net, 1, 1)
    assert all(p.down_s == 0 for _, p in net.world.periods.items())
    assert all(p.excused_s > 3000 for _, p in net.world.periods.items())
    assert net.notices(OutageNotice) == []
    assert net.tickets() == []


def test_work_on_one_of_two_ways_excuses_nothing() -> None:
    base = story().world.inventory
    window = Window(name="w", starts=T0, ends=T0 + timedelta(hours=2), devices=frozenset({"a"}))
    net = Net(replace(base, windows=(window,)))
    run(net, 1, 1)
    run(net, 2, 2, looks=10)
    down = {k[0]: p.down_s for k, p in net.world.periods.items()}
    assert down["any"] > 0


def test_time_nobody_looked_is_unknown() -> None:
    net = story()
    run(net, 1, 1)
    net.wait(3600)
    run(net, 1, 1)
    unknown = {k[0]: p.unknown_s for k, p in net.world.periods.items()}
    assert all(3000 < s < 3600 for s in unknown.values())
    assert all(p.down_s == 0 for _, p in net.world.periods.items())


def moved(net: Net, zone: str) -> None:
    """The customer moves: the same service, in another zone, by a reload."""
    before = net.world.inventory
    services = {name: replace(s, zone=zone) for name, s in before.services.items()}
    net.say(Reconfigured(at=net.at, inventory=replace(before, services=services)))


def booked(net: Net) -> dict[str, float]:
    periods = [period for _, period in net.world.periods.items()]
    return {p.period: p.up_s + p.down_s + p.unknown_s + p.excused_s for p in periods}


def around_the_end_of_november(zone: str) -> Net:
    """Two hours of good looks around midnight in Kolkata, which is 18:30 UTC."""
    service = replace(gold("s1", [port("pe1", "p1")]), zone=zone)
    net = Net(inventory({"pe1": ()}, services=[service]))
    net.at = datetime(2026, 11, 30, 17, 30, tzinfo=UTC)
    for _ in range(240):
        net.up("pe1", "p1")
        net.wait(30)
    return net


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("Asia/Kolkata", "America/New_York"),
        ("America/New_York", "Asia/Kolkata"),
        ("Asia/Kolkata", "Pacific/Apia"),
    ],
)
def test_a_customer_who_moves_between_two_midnights_is_booked_every_second_once(
    here: str, there: str
) -> None:
    net = around_the_end_of_november(here)
    moved(net, there)
    month = sla.period_of(net.world, net.world.inventory.services["s1"], net.at)
    assert month.starts <= net.at < month.ends, "or booking would never come to its end"
    for _ in range(1440):
        net.up("pe1", "p1")
        net.wait(30)
    net.up("pe1", "p1")
    began = datetime(2026, 11, 30, 17, 30, tzinfo=UTC)
    known = net.world.services["s1"]
    assert known.until >= net.at - timedelta(seconds=30)
    assert sum(booked(net).values()) == pytest.approx((known.until - began).total_seconds())
    december = net.world.periods["s1", "2026-12"]
    assert (december.starts, december.ends) == sla.month(there, 2026, 12)


def test_a_customer_who_moves_west_goes_on_in_the_month_that_began_again() -> None:
    net = around_the_end_of_november("Asia/Kolkata")
    before = booked(net)
    assert before == {"2026-11": pytest.approx(3600.0), "2026-12": pytest.approx(3600.0 - 30)}
    moved(net, "America/New_York")
    for _ in range(120):
        net.up("pe1", "p1")
        net.wait(30)
    after = booked(net)
    assert after["2026-12"] == pytest.approx(before["2026-12"], abs=30)
    assert after["2026-11"] > before["2026-11"] + 3500


def forty_minutes_down_and_then_planned_work() -> Net:
    """Within what is allowed of the month; not of what ten days of planned work leave of it."""
    base = inventory({"gw": ()}, services=[gold("s1", [port("gw", "p1")])], interval_s=300)
    work = Window(
        name="move",
        starts=datetime(2026, 11, 10, tzinfo=UTC),
        ends=datetime(2026, 11, 20, tzinfo=UTC),
        services=frozenset({"s1"}),
    )
    net = Net(replace(base, windows=(work,)))
    net.at = datetime(2026, 10, 31, 23, tzinfo=UTC)
    net.up("gw", "p1")
    while net.at < datetime(2026, 11, 9, tzinfo=UTC):
        net.wait(300)
        down = 0 < (net.at - datetime(2026, 11, 2, 10, tzinfo=UTC)).total_seconds() <= 2400
        net.look("gw", Ports({"p1": 2 if down else 1}))
    return net


@pytest.mark.parametrize("stopped", [False, True])
def test_downtime_weighs_more_in_a_month_of_planned_work_and_the_promise_breaks_once(
    stopped: bool,
) -> None:
    net = forty_minutes_down_and_then_planned_work()
    assert net.notices(ViolationNotice) == []
    told = net.outcomes
    for day in range(10, 30):
        if stopped:
            net = restarted(net)
            net.outcomes = told
        while net.at.day < day:
            net.wait(300)
            net.up("gw", "p1")
    (notice,) = net.notices(ViolationNotice)
    assert isinstance(notice, ViolationNotice)
    found = notice.violation
    assert found.id == "s1/2026-11/tier-1"
    assert (
        datetime(2026, 11, 12, tzinfo=UTC) < found.detected_at < datetime(2026, 11, 13, tzinfo=UTC)
    )
    assert found.availability < found.below
    assert found.outage_starts.date().isoformat() == "2026-11-02", "its evidence is that outage"
    assert found.outage == notice.outage.id
    assert found.alarms
    assert len(found.samples_sha256) == 64
    burns = [n.burn for n in net.notices(BudgetNotice)]  # type: ignore[attr-defined]
    assert burns == [50, 80, 100]
