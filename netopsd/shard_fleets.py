"""How a polling process tells whose numbers a sweep holds: once for each fleet, then by its number.

Layouts are those of single looks: the very same object on the side that reads, too.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from netopsd.core.fleet import Fleet, Grid, Member, Part
from netopsd.core.model import Layout

TellLayout = Callable[[str, Layout], Mapping[str, Any] | None]  # None: told before
ReadLayout = Callable[[str, str, Mapping[str, Any] | None], Layout]


class FleetTeller:
    """Gives each fleet a number, and says of a new one what it is."""

    def __init__(self, layout: TellLayout) -> None:
        self._layout = layout
        self._known: dict[int, weakref.ref[Fleet]] = {}
        self._numbers: weakref.WeakKeyDictionary[Fleet, int] = weakref.WeakKeyDictionary()
        self._last = 0

    def tell(self, fleet: Fleet) -> dict[str, Any]:
        """Return what to say of `fleet`."""
        number = self._numbers.get(fleet)
        if number is not None:
            return {"fleet": number}
        gone = [old for old, ref in self._known.items() if ref() is None]
        for old in gone:
            del self._known[old]
        self._last = number = self._last + 1
        self._numbers[fleet], self._known[number] = number, weakref.ref(fleet)
        return {
            "fleet": number, "gone": gone, "members": [self._member(m) for m in fleet.members],
        }  # fmt: skip

    def _member(self, member: Member) -> dict[str, Any]:
        return {
            "d": member.device, "size": member.size, "clocks": dict(member.clocks),
            "facts": dict(member.facts), "errors": dict(member.errors),
            "parts": [
                {
                    "t": part.layout.table, "layout": self._layout(member.device, part.layout),
                    "counters": _plain(part.counters), "gauges": _plain(part.gauges),
                }
                for part in member.parts
            ],
        }  # fmt: skip


class FleetReader:
    """Knows the fleets by their numbers."""

    def __init__(self, layout: ReadLayout) -> None:
        self._layout = layout
        self._known: dict[int, Fleet] = {}

    def read(self, told: Mapping[str, Any]) -> Fleet:
        """Return the fleet spoken of. KeyError, TypeError, ValueError where it is none of ours."""
        number = told["fleet"]
        if "members" in told:
            for old in told["gone"]:
                self._known.pop(old, None)
            self._known[number] = Fleet.of(tuple(map(self._member, told["members"])))
        return self._known[number]

    def _member(self, told: Mapping[str, Any]) -> Member:
        device = told["d"]
        return Member(
            device=device,
            size=told["size"],
            parts=tuple(
                Part(
                    self._layout(device, part["t"], part["layout"]),
                    _grid(part["counters"]),
                    _grid(part["gauges"]),
                )
                for part in told["parts"]
            ),
            clocks=told["clocks"],
            facts=told["facts"],
            errors=told["errors"],
        )


def _plain(grid: Grid) -> list[Any]:
    places = None if grid.places is None else grid.places.tolist()
    return [grid.start, grid.count, grid.shape, places]


def _grid(told: list[Any]) -> Grid:
    start, count, (columns, rows), places = told
    if places is None:
        return Grid(start, count, (columns, rows), None, None)
    absent = np.ones((columns, rows), np.bool_)
    absent.reshape(-1)[places] = False
    return Grid(start, count, (columns, rows), np.array(places, np.intp), absent)
