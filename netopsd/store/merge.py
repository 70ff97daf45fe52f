"""What both stores agree on: several outcomes as one, and what is read back at start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from netopsd.core.outcome import Outcome

# Zones are up to 26 hours apart: the newest month starts that much later in one than in another.
ZONES_APART = timedelta(hours=48)
MONTH = timedelta(days=31)  # the longest

_KEYED = (
    "alarms",
    "tickets",
    "devices",
    "services",
    "outages",
    "periods",
    "violations",
    "sequences",
    "orders",
    "order_items",
    "ordered",
)
_LISTED = ("changes", "ticket_notes", "order_notes", "usage", "events")


def merge(outcomes: Sequence[Outcome]) -> Outcome:
    """Return what is to be written of `outcomes`, in order. A single one is returned as it is.

    Within one outcome a meter that is gone is gone, whatever else it says of it; a later outcome
    may start it again.
    """
    if len(outcomes) == 1:
        return outcomes[0]
    merged = Outcome()
    gone: dict[tuple[str, str], None] = {}
    for outcome in outcomes:
        for name in _KEYED:
            if more := getattr(outcome, name):
                getattr(merged, name).update(more)
        for name in _LISTED:
            if more := getattr(outcome, name):
                getattr(merged, name).extend(more)
        for key, meter in outcome.meters.items():
            gone.pop(key, None)
            merged.meters[key] = meter
        for key in outcome.meters_gone:
            merged.meters.pop(key, None)
            gone[key] = None
    merged.meters_gone = list(gone)
    return merged


def writes_nothing(outcome: Outcome) -> bool:
    """Return whether `outcome` leaves the database as it is: most ticks do."""
    return not (
        any(getattr(outcome, name) for name in (*_KEYED, *_LISTED))
        or outcome.meters
        or outcome.meters_gone
    )
