"""Slots of time: where records of usage end, and how a gap in one is named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

MICRO = 1_000_000
HOUR, DAY = 3600, 86_400
# Two samples far apart say how much went through and not when: no more than so many records of a
# kind come of them, of a slot each, an hour, or a day.
MOST_RECORDS = 96
LONGEST_S = 31 * DAY  # apart: which bill what went through belongs to is not known


def ends(start: int, end: int, length: int) -> Iterator[int]:
    """Yield where records end between two samples, in epoch seconds; samples in microseconds.

    The open slot by itself; then slots, or whole hours and days where slots would be too many, or
    one for all of it. Every end is one of a slot.
    """
    steps = _steps((end - start) / MICRO, length)
    at = boundary(start, length)
    while at * MICRO <= end:
        yield at
        fits = [far for step in steps if (far := boundary(at * MICRO, step)) * MICRO <= end]
        last = end // (length * MICRO) * length if not steps else 0
        at = fits[0] if fits else max(last, at + length)


def _steps(apart_s: float, length: int) -> tuple[int, ...]:
    """Return how long records between two samples may be, the longest first; () for any length."""
    hour, day = (-(-long // length) * length for long in (HOUR, DAY))
    if apart_s > LONGEST_S:
        return ()
    if apart_s > MOST_RECORDS * hour:
        return day, hour, length
    return (hour, length) if apart_s > MOST_RECORDS * length else (length,)


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
