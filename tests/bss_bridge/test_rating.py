"""A month of slots to volume and 95th percentile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bss_bridge.office.rating import Slot, percentile_95, rate

START = datetime(2026, 11, 1, tzinfo=UTC)


def slot(number: int, octets: int, out: int = 0, **changes: object) -> Slot:
    starts = START + timedelta(seconds=300 * number)
    ends = starts + timedelta(seconds=300)
    return Slot(starts=starts, ends=ends, in_octets=octets, out_octets=out, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], 0), ([7], 7), (range(1, 21), 19), (range(1, 20), 19), (range(1, 101), 95), ([5] * 40, 5)],
)
def test_the_highest_five_per_cent_are_dropped(values: range, expected: int) -> None:
    assert percentile_95(list(values)) == expected


@given(st.lists(st.integers(0, 2**63)))
def test_at_most_five_per_cent_lie_above(values: list[int]) -> None:
    found = percentile_95(values)
    assert sum(value > found for value in values) * 20 <= len(values)


def test_ports_are_summed_slot_by_slot_before_the_percentile_is_taken() -> None:
    one = [slot(n, 300 if n % 2 else 0) for n in range(20)]
    other = [slot(n, 0 if n % 2 else 300) for n in range(20)]
    rated = rate([*one, *other], START, START + timedelta(seconds=6000))
    assert rated.p95_in_bps == 8  # not 16: the peaks never coincide
    assert rated.octets == 300 * 20


def test_the_greater_direction_is_billed() -> None:
    rated = rate([slot(0, 300, out=900)], START, START + timedelta(days=1))
    assert (rated.p95_in_bps, rated.p95_out_bps, rated.p95_bps) == (8, 24, 24)


def test_missing_slots_are_named_and_are_not_zero() -> None:
    slots = [
        slot(0, 300),
        slot(2, 300, completeness=Decimal("0.5")),
        slot(3, 300, reconstructed=True),
    ]
    rated = rate(slots, START, START + timedelta(seconds=1500))
    assert (rated.expected, rated.missing, rated.partial, rated.reconstructed) == (5, 2, 1, 1)
    assert rated.p95_in_bps == 8


def test_a_month_takes_what_starts_in_it() -> None:
    rated = rate([slot(-1, 5), slot(0, 7), slot(1, 9)], START, START + timedelta(seconds=300))
    assert rated.in_octets == 7


def test_an_hourly_average_is_refused() -> None:
    hour = Slot(starts=START, ends=START + timedelta(hours=1), in_octets=1, out_octets=1)
    with pytest.raises(ValueError, match="not within 300 s"):
        rate([hour], START, START + timedelta(days=1))


def test_minutes_are_summed_into_their_slot() -> None:
    minute = timedelta(seconds=60)
    slots = [
        Slot(starts=START + minute * n, ends=START + minute * (n + 1), in_octets=60, out_octets=0)
        for n in range(10)
    ]
    rated = rate(slots, START, START + minute * 10)
    assert (rated.slots, rated.p95_in_bps) == (2, 8)


def test_an_hour_split_from_a_longer_difference_is_spread_evenly_as_its_slots_would_have_been() -> (
    None
):
    hour = Slot(
        starts=START + timedelta(minutes=5),
        ends=START + timedelta(hours=1),
        in_octets=11 * 300 + 5,
        out_octets=7,
        reconstructed=True,
    )
    rated = rate([slot(0, 300), hour], START, START + timedelta(hours=1))
    assert (rated.in_octets, rated.out_octets) == (12 * 300 + 5, 7)
    assert (rated.slots, rated.missing, rated.reconstructed) == (12, 0, 11)
    assert rated.p95_in_bps == 8


def test_a_long_time_of_which_nothing_is_known_is_missing() -> None:
    nothing = Slot(
        starts=START,
        ends=START + timedelta(days=40),
        in_octets=0,
        out_octets=0,
        completeness=Decimal(0),
    )
    rated = rate([nothing], START, START + timedelta(hours=1))
    assert (rated.slots, rated.missing) == (0, 12)
