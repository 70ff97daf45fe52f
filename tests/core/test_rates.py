"""Counters to readings: a gap is a gap, never a spike; a wrap is no reboot."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netopsd.core.model import Clocks, Layout, Table
from netopsd.core.rates import (
    CounterPlan,
    Restart,
    any_restarted,
    began_since,
    deltas,
    restarted,
    wraps_unseen,
)

DAY = 8_640_000  # ticks
WRAP = 2**32


def clocks(up: int | None, host: int | None = None, boots: int | None = None) -> Clocks:
    return Clocks(sys_uptime_ticks=up, hr_uptime_ticks=host, engine_boots=boots)


@pytest.mark.parametrize(
    ("before", "after", "elapsed_s", "verdict"),
    [
        (clocks(1000), clocks(4000), 30, Restart.NONE),
        (clocks(WRAP - 1000), clocks(2000), 30, Restart.NONE),  # wrapped after 497.1 days
        (clocks(DAY), clocks(500), 30, Restart.AGENT),
        (clocks(DAY, DAY), clocks(500, 500), 30, Restart.DEVICE),
        (clocks(DAY, DAY), clocks(500, DAY + 3000), 30, Restart.AGENT),  # snmpd restarted alone
        (clocks(DAY, None, 4), clocks(500, None, 5), 30, Restart.DEVICE),
        (clocks(DAY, None, 4), clocks(DAY + 3000, None, 5), 30, Restart.AGENT),
        (clocks(DAY), clocks(3 * DAY), 30, Restart.NONE),  # a clock that ran ahead
        (clocks(300 * DAY), clocks(500), 30, Restart.AGENT),  # not one that ran 197 days ahead
        (clocks(300 * DAY, 300 * DAY), clocks(500, 500), 30, Restart.DEVICE),
        (clocks(490 * DAY), clocks(500), 30, Restart.AGENT),
        (clocks(WRAP - 3200), clocks(50), 30, Restart.NONE),  # wrapped a little early
        (clocks(100 * DAY), clocks(DAY), 2 * 86400, Restart.AGENT),  # rebooted while unseen
        (clocks(DAY), clocks(2 * DAY), 2 * 86400, Restart.AGENT),  # grew, but not enough
        (clocks(None), clocks(500), 30, Restart.NONE),
        (clocks(None, None, 4), clocks(None, None, 5), 30, Restart.AGENT),
    ],
)
def test_a_restart_is_judged_by_several_clocks(
    before: Clocks, after: Clocks, elapsed_s: float, verdict: Restart
) -> None:
    assert restarted(before, after, elapsed_s) is verdict


@given(st.integers(0, WRAP - 1), st.floats(0, 86400 * 490), st.floats(-0.02, 0.02))
def test_time_alone_is_never_a_restart(start: int, elapsed_s: float, drift: float) -> None:
    after = (start + round(elapsed_s * 100 * (1 + drift))) % WRAP
    assert restarted(clocks(start), clocks(after), elapsed_s) is Restart.NONE


TIMETICKS = st.integers(0, WRAP - 1) | st.sampled_from([0, 100, WRAP // 2, WRAP - 3000, WRAP - 1])


@given(
    st.lists(
        st.tuples(
            st.tuples(TIMETICKS, TIMETICKS, st.integers(0, 3)),
            st.tuples(TIMETICKS, TIMETICKS, st.integers(0, 3)),
            st.tuples(st.booleans(), st.booleans(), st.booleans()),
            st.floats(0, 1e6),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_many_devices_are_judged_as_one_at_a_time(
    looks: list[tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...], float]],
) -> None:
    told = any_restarted(
        np.array([was for was, _, _, _ in looks], np.uint64).T,
        np.array([now for _, now, _, _ in looks], np.uint64).T,
        np.array([offered for _, _, offered, _ in looks]).T,
        np.array([elapsed_s for _, _, _, elapsed_s in looks]),
    )
    one_by_one = [
        restarted(
            clocks(*(n if o else None for n, o in zip(was, offered, strict=True))),
            clocks(*(n if o else None for n, o in zip(now, offered, strict=True))),
            elapsed_s,
        )
        is not Restart.NONE
        for was, now, offered, elapsed_s in looks
    ]
    assert told.tolist() == one_by_one


@given(st.integers(0, WRAP - 1), st.floats(0, 86400 * 490), st.floats(-0.02, 0.02))
def test_an_agent_that_has_been_up_for_long_did_not_begin_meanwhile(
    start: int, elapsed_s: float, drift: float
) -> None:
    grown = round(elapsed_s * 100 * (1 + drift))
    slow_just_after_a_start = start < elapsed_s * 2
    began = began_since(clocks(start), clocks((start + grown) % WRAP), elapsed_s, 1.0)
    assert not began or slow_just_after_a_start


@pytest.mark.parametrize(
    ("before", "after", "elapsed_s", "began"),
    [
        (100, 300_100, 3000, False),
        (100, 299_000, 3000, True),  # up for 10 s less than passed, and 11 s behind
        (100, 299_950, 3000, False),  # stamps are not that good
        (WRAP - 1000, 2000, 30, False),  # wrapped after 497.1 days
        (WRAP - 3100, 50, 30, False),  # … a little early
        (None, 50, 30, False),
        (50, None, 30, False),
    ],
)
def test_an_agent_up_for_less_time_than_passed_began_meanwhile(
    before: int | None, after: int | None, elapsed_s: float, began: bool
) -> None:
    assert began_since(clocks(before), clocks(after), elapsed_s, 1.0) is began


LAYOUT = Layout(
    table="if",
    rows=("a", "b"),
    index=("1", "2"),
    labels={},
    counters=("ifHCInOctets", "ifInErrors"),
    widths=(64, 32),
    gauges=("ifHighSpeed", "ifCounterDiscontinuityTime"),
)


def table(octets: int, errors: int, discontinuity: float = 0.0, speed: float = 1000.0) -> Table:
    return Table(
        LAYOUT,
        np.array([[octets, octets], [errors, errors]], dtype=np.uint64),
        np.array([[speed, speed], [0.0, discontinuity]]),
    )


PLAN = CounterPlan.of(LAYOUT)


def test_a_32_bit_counter_wraps_and_a_64_bit_one_that_falls_was_reset() -> None:
    grown = deltas(PLAN, table(2**40, 2**32 - 5), table(2**40 - 1, 5), 30)
    assert grown.valid.tolist() == [[False, False], [True, True]]
    assert grown.grown[1].tolist() == [10, 10]


def test_a_discontinuity_spoils_its_row_and_no_other() -> None:
    grown = deltas(PLAN, table(0, 0), table(1000, 1, discontinuity=5.0), 30)
    assert grown.valid.tolist() == [[True, False], [True, False]]


def test_more_than_the_port_can_carry_is_a_gap() -> None:
    grown = deltas(PLAN, table(0, 0), table(4 * 10**9, 1), 30)  # 3.75 GB fit into 30 s at 1 Gb/s
    assert grown.valid.tolist() == [[False, False], [True, True]]
    unknown = deltas(PLAN, table(0, 0, speed=0.0), table(4 * 10**9, 1, speed=0.0), 30)
    assert unknown.valid.all()


def test_no_time_no_rate() -> None:
    assert not deltas(PLAN, table(0, 0), table(10, 10), 0.0).valid.any()


def test_counters_keep_every_bit() -> None:
    big = 2**64 - 3
    grown = deltas(PLAN, table(big - 7, 0, speed=0.0), table(big, 0, speed=0.0), 30)
    assert grown.grown[0].tolist() == [7, 7]


def test_a_gigabit_port_wraps_32_bits_in_34_seconds() -> None:
    assert not wraps_unseen(1e9, 17)
    assert wraps_unseen(1e9, 18)


def test_a_port_of_unknown_speed_may_be_a_gigabit_port() -> None:
    assert not wraps_unseen(0, 17)
    assert wraps_unseen(0, 18)
    assert wraps_unseen(math.inf, 1)


def test_the_same_number_of_boots_is_no_second_witness() -> None:
    before = Clocks(sys_uptime_ticks=500_000, engine_boots=7)
    same = Clocks(sys_uptime_ticks=100, engine_boots=7)
    more = Clocks(sys_uptime_ticks=100, engine_boots=8)
    assert restarted(before, same, 30.0) is Restart.AGENT
    assert restarted(before, more, 30.0) is Restart.DEVICE
