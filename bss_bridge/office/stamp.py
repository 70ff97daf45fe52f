"""Times as the office's database keeps them: fixed-width UTC text, sorted as time is."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(at: datetime) -> str:
    """Return `at` as "2026-11-23T10:00:00.000000Z". Raises ValueError for a naive time."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def unstamp(text: str) -> datetime:
    """Return the aware UTC time that `stamp` wrote."""
    return datetime.fromisoformat(text)
