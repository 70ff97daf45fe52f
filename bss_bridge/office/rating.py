"""A month of usage to what is billed: volume, and the 95th percentile. Pure; integers only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

SLOT_S = 300  # the percentile is of 300 s averages aligned to the epoch
_MICRO = timedelta(microseconds=1)
_SLOT = SLOT_S * 1_000_000
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
    percentiles are of 300 s slots: shorter ones are summed into theirs. A longer one is spread
    evenly where it is reconstructed, since that is how shorter ones would have been told, and is
    missing where nothing is known of it; any other is refused with ValueError (an hourly average
    hides the peak).
    """
    sums: dict[int, list[int]] = {}
    partial: set[int] = set()
    guessed: set[int] = set()
    for slot in slots:
        if not starts <= slot.starts < ends:
            continue
        for number, in_octets, out_octets in _parts(slot):
            into = sums.setdefault(number, [0, 0])
            into[0] += in_octets
            into[1] += out_octets
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


def _parts(slot: Slot) -> Iterator[tuple[int, int, int]]:
    """Yield numbers of 300 s slots since the epoch and the octets in each, which add up.

    Raises ValueError for a measured slot that spans several.
    """
    start, end = ((at - _EPOCH) // _MICRO for at in (slot.starts, slot.ends))
    first, last = start // _SLOT, (end - 1) // _SLOT
    if first == last:
        yield first, slot.in_octets, slot.out_octets
        return
    if slot.completeness == 0 and not (slot.in_octets or slot.out_octets):
        return
    if not slot.reconstructed:
        raise ValueError(
            f"slot {slot.starts.isoformat()} to {slot.ends.isoformat()} is not within {SLOT_S} s"
        )
    done = (0, 0)
    for number in range(first, last + 1):
        passed = min((number + 1) * _SLOT, end) - start
        upto = (
            slot.in_octets * passed // (end - start),
            slot.out_octets * passed // (end - start),
        )
        yield number, upto[0] - done[0], upto[1] - done[1]
        done = upto
