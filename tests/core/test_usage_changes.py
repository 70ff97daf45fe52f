"""Metering while the configuration changes under it: no slot told twice, none lost, no number."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from netopsd.core.beliefs import UsageRecord
from netopsd.core.inventory import Inventory
from netopsd.core.model import Batch, Clocks, Layout, Reconfigured, Table
from tests.core.network import T0, Net, Ports, gold, inventory, port
from tests.core.test_restart import restarted

PORT = port("a", "p1")
RATE = 1_000_000  # octets a second, in


def metered(**changes: object) -> Inventory:
    service = replace(gold("s1", [PORT], meters=[PORT]), **changes)  # type: ignore[arg-type]
    return inventory({"a": ()}, services=[service])


def run(net: Net, seconds: int) -> None:
    for _ in range(seconds // 30):
        octets = round((net.at - T0).total_seconds()) * RATE
        net.look("a", Ports({"p1": 1}, octets={"p1": (octets, 0)}))
        net.wait(30)


def records(net: Net) -> list[UsageRecord]:
    return [r for o in net.outcomes for r in o.usage]


def check(told: Sequence[UsageRecord]) -> None:
    """Keys are unique, numbers have no holes, slots touch and never overlap."""
    assert len({r.key for r in told}) == len(told)
    assert [r.sequence for r in told] == list(range(1, len(told) + 1))
    for one, following in itertools.pairwise(told):
        assert one.ends <= following.starts
    for r in told:
        assert r.in_octets >= 0
        assert 0 <= r.covered_s <= (r.ends - r.starts).total_seconds()


def interval(net: Net, seconds: int) -> None:
    policy = replace(net.world.inventory.policy, usage_interval_s=seconds)
    changed = replace(net.world.inventory, policy=policy)
    net.say(Reconfigured(at=net.at, inventory=changed))


def test_another_usage_interval_takes_effect_at_its_own_grid() -> None:
    net = Net(metered())
    run(net, 1290)
    interval(net, 900)
    run(net, 3000)
    interval(net, 60)
    run(net, 1200)
    told = records(net)
    check(told)
    ends = [round((r.ends - T0).total_seconds()) for r in told]
    assert ends[:8] == [300, 600, 900, 1200, 1800, 2700, 3600, 4320]
    assert {end % 60 for end in ends} == {0}
    assert all(a.ends == b.starts for a, b in itertools.pairwise(told))
    spanned = (told[-1].ends - T0).total_seconds()
    assert sum(r.in_octets for r in told) == spanned * RATE


def test_a_service_removed_and_put_back_in_one_slot_tells_that_slot_once() -> None:
    net = Net(metered())
    run(net, 420)
    net.say(Reconfigured(at=net.at, inventory=replace(net.world.inventory, services={})))
    run(net, 60)
    net.say(Reconfigured(at=net.at, inventory=metered()))
    run(net, 900)
    told = records(net)
    check(told)
    assert [r.completeness < 1 for r in told] == [False, True, False, False]
    assert any("metering ended" in gap for gap in told[1].gaps)


def test_a_service_that_ends_tells_its_last_slot() -> None:
    net = Net(metered(active_until=T0 + timedelta(seconds=700)))
    run(net, 1500)
    told = records(net)
    check(told)
    assert [r.starts for r in told] == [T0 + timedelta(seconds=300 * n) for n in range(3)]
    assert dict(net.world.meters.items()) == {}
    assert told[2].in_octets == 90 * RATE


def test_a_64_bit_counter_missing_in_one_look_is_only_a_later_look() -> None:
    net = Net(metered())
    layout = Layout(
        table="if",
        rows=("p1",),
        index=("1",),
        labels={},
        counters=("ifHCInOctets", "ifHCOutOctets", "ifInOctets", "ifOutOctets"),
        widths=(64, 64, 32, 32),
        gauges=("ifOperStatus", "ifCounterDiscontinuityTime"),
    )
    for n in range(25):
        octets = 30 * n * RATE
        lost = n % 5 == 3
        net.say(
            Batch(
                device="a",
                at=net.at,
                mono_s=30.0 * n,
                tables=(
                    Table(
                        layout,
                        np.array([[octets], [0], [octets % 2**32], [0]], dtype=np.uint64),
                        np.array([[1.0], [np.nan if n % 7 == 4 else 0.0]]),
                        np.array([[lost], [False], [False], [False]]),
                    ),
                ),
                clocks=Clocks(sys_uptime_ticks=5_000_000 + n * 3000),
            )
        )
        net.wait(30)
    told = records(net)
    check(told)
    assert [(r.in_octets, r.gaps) for r in told] == [(300 * RATE, ())] * 2


def restart(net: Net, changed: Inventory) -> Net:
    """netopsd is started anew, with `changed` in its files; the numbers told so far go with it."""
    again = restarted(net, changed)
    again.layouts, again.uptime0 = net.layouts, net.uptime0
    again.outcomes = net.outcomes
    again.say(Reconfigured(at=again.at, inventory=changed))
    return again


def test_octets_that_went_through_while_a_port_was_no_service_are_nobodys() -> None:
    net = Net(metered())
    run(net, 420)
    net = restart(net, inventory({"a": ()}))
    assert [(r.starts, r.customer) for r in records(net)] == [
        (T0, "acme"),
        (T0 + timedelta(seconds=300), "acme"),
    ]
    assert "metering ended" in records(net)[1].gaps[0]
    assert dict(net.world.meters.items()) == {}
    run(net, 7200)
    net.say(Reconfigured(at=net.at, inventory=metered()))
    run(net, 900)
    told = records(net)
    check(told)
    between = [r for r in told if r.starts >= T0 + timedelta(seconds=600)]
    assert min(r.starts for r in between) == T0 + timedelta(seconds=7500)
    assert sum(r.in_octets for r in between) == 780 * RATE
    assert ["not yet metered" in str(r.gaps) for r in between] == [True, False, False]


def accounts(net: Net) -> list[tuple[int, str]]:
    return [(round((r.starts - T0).total_seconds()), r.account) for r in records(net)]


def test_a_slot_is_told_to_the_account_the_service_was_of_when_it_began() -> None:
    net = Net(metered())
    run(net, 420)
    net.say(Reconfigured(at=net.at, inventory=metered(account="beta-1", customer="beta")))
    run(net, 600)
    check(records(net))
    assert accounts(net) == [(0, "acme-1"), (300, "acme-1"), (600, "beta-1")]
    assert [r.customer for r in records(net)] == ["acme", "acme", "beta"]
    assert sum(r.in_octets for r in records(net)) == 900 * RATE


def test_a_service_handed_over_while_nobody_could_look_is_the_others_from_then_on() -> None:
    net = Net(metered())
    run(net, 420)
    net.wait(600)  # netopsd is stopped
    net = restart(net, metered(account="beta-1", customer="beta"))
    net.wait(600)  # its device does not answer
    net = restart(net, metered(account="beta-1", customer="beta"))
    run(net, 330)
    check(records(net))
    assert accounts(net) == [
        *((at, "acme-1") for at in (0, 300, 600, 900)),
        *((at, "beta-1") for at in (1200, 1500)),
    ]
    assert sum(r.in_octets for r in records(net)) == 1800 * RATE


def test_a_service_handed_over_by_mistake_and_taken_back_stays_with_its_account() -> None:
    net = Net(metered())
    run(net, 420)
    net.say(Reconfigured(at=net.at, inventory=metered(account="beta-1")))
    run(net, 60)
    net.say(Reconfigured(at=net.at, inventory=metered()))
    run(net, 600)
    assert {account for _, account in accounts(net)} == {"acme-1"}


def flow(net: Net, seconds: int) -> None:
    """Octets go through, whatever our clock says of the time."""
    for _ in range(seconds // 30):
        net.look("a", Ports({"p1": 1}, octets={"p1": (net.octets, 0)}))
        net.octets += 30 * RATE
        net.wait(30)


def clock(net: Net, step: timedelta) -> None:
    """Somebody sets our clock; the device's own goes on."""
    net.uptime0["a"] += step
    net.at += step


def set_right(net: Net, step: timedelta) -> Net:
    """The clock, ahead by `step`, is put right while netopsd is stopped."""
    clock(net, -step)
    return restart(net, metered())


def open_octets(net: Net) -> int:
    return sum(meter.slot_in for _, meter in net.world.running.items() if meter)


@pytest.mark.parametrize("step", [timedelta(days=90), timedelta(days=2), timedelta(hours=1)])
def test_usage_is_told_again_after_a_clock_that_was_ahead_is_put_right(step: timedelta) -> None:
    net = Net(metered())
    flow(net, 420)
    clock(net, step)
    flow(net, 120)
    net = set_right(net, step)
    before = len(records(net))
    flow(net, 3600)

    told = records(net)
    assert len({r.key for r in told}) == len(told)
    assert [r.sequence for r in told] == list(range(1, len(told) + 1))
    ahead, *present = told[before:]
    assert "clock was ahead" in ahead.gaps[-1]
    assert ahead.starts > T0 + step
    begun = T0 + timedelta(seconds=540 + 600)  # ten minutes for the clock to be set
    assert present[0].starts <= begun < present[0].ends
    assert [r.revision for r in present] == [1] * 10
    assert {r.in_octets for r in present[1:]} == {300 * RATE}
    assert {r.completeness for r in present[1:]} == {1}
    # The clock's step, and from the last look while it was ahead to the first one counted again.
    in_gaps = (30 + 30 + 600) * RATE
    assert sum(r.in_octets for r in told) + open_octets(net) == net.octets - 30 * RATE - in_gaps


def test_slots_that_were_never_told_are_told_as_ever_once_time_has_caught_up() -> None:
    net, step = Net(metered()), timedelta(hours=1)
    flow(net, 420)
    clock(net, step)
    flow(net, 120)
    net = set_right(net, step)
    flow(net, 5400)
    told = records(net)
    caught_up = T0 + step + timedelta(seconds=600)  # the end of the last slot that was told ahead
    again = {r.starts for r in told if r.revision}
    assert again == {T0 + timedelta(seconds=s) for s in range(900, 4200, 300)}
    assert {r.revision for r in told if r.starts >= caught_up} == {0}
    assert len([r for r in told if r.starts >= caught_up]) == 5


def test_a_clock_that_is_ahead_twice_tells_no_slot_twice_under_one_key() -> None:
    net, step = Net(metered()), timedelta(hours=2)
    for _ in range(2):
        flow(net, 900)
        clock(net, step)
        flow(net, 120)
        net = set_right(net, step)
    flow(net, 1800)
    told = records(net)
    assert len({r.key for r in told}) == len(told)
    assert {r.revision for r in told} == {0, 1, 2}
    assert sum(r.in_octets for r in told) + open_octets(net) < net.octets


def test_a_service_that_ended_while_the_clock_was_ahead_can_be_metered_again() -> None:
    net, step = Net(metered()), timedelta(days=2)
    flow(net, 420)
    clock(net, step)
    flow(net, 120)
    net.say(Reconfigured(at=net.at, inventory=inventory({"a": ()})))
    net = set_right(net, step)
    flow(net, 1200)
    assert [r.in_octets for r in records(net)][-1] == 300 * RATE


def test_a_clock_that_was_ahead_by_less_than_a_slot_loses_nothing() -> None:
    net, step = Net(metered()), timedelta(seconds=200)
    flow(net, 420)
    net.at += step
    flow(net, 120)
    net.at -= step
    net = restart(net, metered())
    flow(net, 1500)
    told = records(net)
    check(told)
    assert not [gap for r in told for gap in r.gaps]
    assert sum(r.in_octets for r in told) + open_octets(net) == net.octets - 30 * RATE


def test_a_start_with_a_clock_that_is_behind_at_first_ends_no_meter() -> None:
    net, behind = Net(metered()), timedelta(days=900)
    flow(net, 420)
    clock(net, -behind)
    net = restart(net, metered())
    flow(net, 300)
    clock(net, behind)
    flow(net, 1200)
    told = records(net)
    check(told)
    assert not [gap for r in told for gap in r.gaps]
    assert sum(r.in_octets for r in told) + open_octets(net) == net.octets - 30 * RATE


def test_a_slot_that_was_measured_is_not_called_reconstructed_because_the_next_are_shorter() -> (
    None
):
    net = Net(metered())
    interval(net, 900)
    run(net, 1290)
    interval(net, 60)
    run(net, 300)
    assert {round((r.ends - r.starts).total_seconds()) for r in records(net)} >= {900, 420}
    assert not any(r.reconstructed for r in records(net))


def test_a_reload_ends_no_meter_of_a_site_whose_collector_has_its_clock_ahead() -> None:
    """Only what was stored can be of a clock of ours that was ahead: a start looks at it."""
    net, step = Net(metered()), timedelta(minutes=10)
    for n in range(80):
        if n == 20:
            net.say(Reconfigured(at=net.at, inventory=metered()))
        net.at += step
        net.look("a", Ports({"p1": 1}, octets={"p1": (net.octets, 0)}))
        net.at -= step
        net.octets += 30 * RATE
        net.wait(30)
    told = records(net)
    check(told)
    assert not [gap for r in told for gap in r.gaps]
    assert {r.revision for r in told} == {0}
