"""Slots of time: where records of usage end, and how a gap in one is named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

MICRO = 1_000_000
HOUR, DAY = 3600, 86_400
# Two samples far apart say how much went through and not when: no more than so many records of a
# kind come of them, of a slot each, an hour, or a day.
MOST_RECORDS = 96
LONGEST_S = 31 * DAY  # apart: which bill what went through belongs to is not known


def ends(start: int, end: int, length: int, zone: str) -> Iterator[int]:
    """Yield where records end between two samples, in epoch seconds; samples in microseconds.

    The open slot by itself; then slots, or whole hours and days where slots would be too many, or
    one for all of it. Every end is one of a slot. Days are those of `zone`, and no hour goes past
    midnight there: that is where months and bills end.
    """
    apart_s = (end - start) / MICRO
    at = boundary(start, length)
    while at * MICRO <= end:
        yield at
        far = _ahead(at, end, length, apart_s, zone)
        at = next((mark for mark in far if at < mark and mark * MICRO <= end), at + length)


def _ahead(at: int, end: int, length: int, apart_s: float, zone: str) -> Iterator[int]:
    """Yield how far the next record may go, the farthest first."""
    if apart_s > LONGEST_S:
        yield end // (length * MICRO) * length
    elif apart_s > MOST_RECORDS * length:
        day, hour = _midnight(at, length, zone), -(-HOUR // length) * length
        if apart_s > MOST_RECORDS * hour:
            yield day
        yield min(day, boundary(at * MICRO, hour))


def _midnight(at: int, length: int, zone: str) -> int:
    """Return the end of the slot in which the next midnight of `zone` is."""
    here = ZoneInfo(zone)
    following = datetime.fromtimestamp(at, here).date() + timedelta(days=1)
    midnight = datetime.combine(following, time(), here)
    return -(-max(at + 1, int(midnight.timestamp())) // length) * length


def boundary(micros: int, length: int) -> int:
    """Return the end of the slot that a moment falls into, in epoch seconds.

    Slots lie on multiples of `length`; where that was changed, one odd slot leads to the new grid.
    """
    return (micros // (length * MICRO) + 1) * length


MOST_GAPS = 32


def named(gaps: tuple[str, ...], start: int, end: int, why: str) -> tuple[str, ...]:
    """Add a gap by name; a slot with very many keeps the first ones and one that spans the rest."""
    if not why:
        return gaps
    if len(gaps) < MOST_GAPS:
        return (*gaps, f"{iso(start)}/{iso(end)} {why}")
    begun = gaps[-1].partition("/")[0]
    return (*gaps[:-1], f"{begun}/{iso(end)} several, last: {why}")


def micros(at: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    whole = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (whole.days * 86_400 + whole.seconds) * MICRO + whole.microseconds


def iso(micros: int) -> str:
    seconds, rest = divmod(micros, MICRO)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest).isoformat()
