"""A month of usage to what is billed: volume, and the 95th percentile. Pure; integers only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

SLOT_S = 300  # the percentile is of 300 s averages aligned to the epoch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Octets of one port in one slot."""

    starts: datetime
    ends: datetime
    in_octets: int
    out_octets: int
    completeness: Decimal = Decimal(1)
    reconstructed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """A month of one service. Rates are bits per second, rounded down."""

    in_octets: int
    out_octets: int
    p95_in_bps: int
    p95_out_bps: int
    slots: int  # with anything measured
    expected: int  # slots in the span
    missing: int  # slots of which nothing is known: neither zero nor guessed
    partial: int  # measured for less than their length
    reconstructed: int  # split from a longer difference

    @property
    def p95_bps(self) -> int:
        """What is billed by default: the greater direction."""
        return max(self.p95_in_bps, self.p95_out_bps)

    @property
    def octets(self) -> int:
        """Both directions."""
        return self.in_octets + self.out_octets


def rate(slots: Iterable[Slot], starts: datetime, ends: datetime) -> Rated:
    """Return the volume and percentiles of one service's slots starting in [starts, ends).

    Ports are summed slot by slot before the percentile is taken. Volume counts every slot;
    percentiles are of 300 s slots: longer ones are refused with ValueError (an hourly average
    hides the peak), shorter ones are summed into theirs.
    """
    sums: dict[int, list[int]] = {}
    partial: set[int] = set()
    guessed: set[int] = set()
    for slot in slots:
        if not starts <= slot.starts < ends:
            continue
        number = _number(slot)
        into = sums.setdefault(number, [0, 0])
        into[0] += slot.in_octets
        into[1] += slot.out_octets
        if slot.completeness < 1:
            partial.add(number)
        if slot.reconstructed:
            guessed.add(number)
    expected = -(-int((ends - starts) / timedelta(seconds=1)) // SLOT_S)
    return Rated(
        in_octets=sum(octets[0] for octets in sums.values()),
        out_octets=sum(octets[1] for octets in sums.values()),
        p95_in_bps=percentile_95([octets[0] for octets in sums.values()]) * 8 // SLOT_S,
        p95_out_bps=percentile_95([octets[1] for octets in sums.values()]) * 8 // SLOT_S,
        slots=len(sums),
        expected=expected,
        missing=max(0, expected - len(sums)),
        partial=len(partial),
        reconstructed=len(guessed),
    )


def percentile_95(values: Sequence[int]) -> int:
    """Return the value left after the highest floor(5 %) are dropped; 0 of none."""
    if not values:
        return 0
    return sorted(values, reverse=True)[len(values) * 5 // 100]


def _number(slot: Slot) -> int:
    """The slot's number since the epoch. Raises ValueError for one that spans several."""
    first = (slot.starts - _EPOCH) // timedelta(seconds=SLOT_S)
    last = (slot.ends - timedelta(microseconds=1) - _EPOCH) // timedelta(seconds=SLOT_S)
    if first != last:
        raise ValueError(
            f"slot {slot.starts.isoformat()} to {slot.ends.isoformat()} is not within {SLOT_S} s"
        )
    return first
