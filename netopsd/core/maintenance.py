"""Planned work: what falls into it opens no ticket and costs no availability."""

from __future__ import annotations

from datetime import datetime

from netopsd.core.inventory import Inventory, Service, Window


def for_device(inventory: Inventory, device: str, at: datetime) -> str:
    """Return the name of the window `device` is in at `at`, "" for none."""
    for window in inventory.windows:
        if device in window.devices and window.starts <= at < window.ends:
            return window.name
    return ""


def windows_of(inventory: Inventory, service: Service) -> tuple[Window, ...]:
    """Return the windows that excuse `service`: its own, and those of a device it cannot avoid.

    A window over one of several alternatives excuses nothing: the other one should have carried it.
    """
    return tuple(w for w in inventory.windows if service.id in w.services or _hits(w, service))


def _hits(window: Window, service: Service) -> bool:
    return any(path and all(r.device in window.devices for r in path) for path in service.paths)


def excused(
    windows: tuple[Window, ...], starts: datetime, ends: datetime
) -> tuple[tuple[datetime, datetime], ...]:
    """Return the union of `windows` within [starts, ends), as disjoint intervals in order."""
    pieces = sorted(
        (max(w.starts, starts), min(w.ends, ends))
        for w in windows
        if w.starts < ends and w.ends > starts
    )
    union: list[tuple[datetime, datetime]] = []
    for a, b in pieces:
        if union and a <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], b))
        else:
            union.append((a, b))
    return tuple(union)
