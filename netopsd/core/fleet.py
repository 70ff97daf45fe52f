"""What the numbers of a sweep are: devices looked at together, their numbers in one row.

A member's numbers stand together: clocks and watched scalars, then table by table its counters,
column by column, then its gauges. So a table's arrays are slices, and what is judged is judged over
all members at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from netopsd.core.model import Batch, Clocks, Layout, Sweep, Table

CLOCKS = ("sys_uptime_ticks", "hr_uptime_ticks", "engine_boots", "engine_time_s")
NEGATIVE = 2**63  # as unsigned numbers; from here on a value is below zero


@dataclass(frozen=True, slots=True)
class Grid:
    """The counters or the gauges of a table among numbers in a row.

    `count` numbers from `start` on. `places` are their flat positions in a grid of `shape`
    (columns, rows), None where every cell is asked for; `absent` is True where none is.
    """

    start: int
    count: int
    shape: tuple[int, int]
    places: NDArray[np.intp] | None
    absent: NDArray[np.bool_] | None

    def place(self, slot: int) -> int:
        """Return the flat position of a number."""
        at = slot - self.start
        return at if self.places is None else int(self.places[at])

    def raw(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return the grid, 0 where nothing is asked for. A view where it is whole."""
        got = numbers[self.start : self.start + self.count]
        if self.places is None:
            return got.reshape(self.shape)
        whole = np.zeros(self.shape, np.uint64)
        whole.reshape(-1)[self.places] = got
        return whole

    def missing(self, wrong: Iterable[int]) -> NDArray[np.bool_] | None:
        """Return where nothing was read, None where everything was."""
        lost = [self.place(s) for s in wrong if self.start <= s < self.start + self.count]
        if not lost:
            return self.absent
        mask = np.zeros(self.shape, np.bool_) if self.absent is None else self.absent.copy()
        mask.reshape(-1)[lost] = True
        return mask

    def slots(self, column: int) -> NDArray[np.intp]:
        """Return where each row's number of a column stands, -1 where it is not asked for."""
        rows = self.shape[1]
        if self.places is None:
            return np.arange(rows, dtype=np.intp) + (self.start + column * rows)
        found = np.full(self.shape[0] * rows, -1, np.intp)
        found[self.places] = np.arange(self.count, dtype=np.intp) + self.start
        return found[column * rows : (column + 1) * rows]


@dataclass(frozen=True, slots=True)
class Part:
    """One table of one device among its numbers."""

    layout: Layout
    counters: Grid
    gauges: Grid

    @property
    def end(self) -> int:
        return self.gauges.start + self.gauges.count

    def table(self, numbers: NDArray[np.uint64], wrong: Iterable[int] = ()) -> Table:
        """Return the table, without the numbers in `wrong`."""
        gauges = self.gauges.raw(numbers).view(np.int64).astype(np.float64)
        unread = self.gauges.missing(wrong) if wrong else self.gauges.absent
        if unread is not None:
            gauges[unread] = np.nan
        return Table(
            self.layout,
            self.counters.raw(numbers),
            gauges,
            self.counters.missing(wrong) if wrong else self.counters.absent,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """One device of a fleet. `clocks` are the places of its clocks among its numbers, by field of
    `Clocks`; `errors` names what is known to be absent. Shared by identity while it is the same.
    """

    device: str
    size: int
    parts: tuple[Part, ...]
    clocks: Mapping[str, int]
    facts: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Fleet:
    """Devices whose numbers stand in one row, `starts[i]` being where those of member i begin.

    Behind the last one stands a 0, to point at where a device has no such number. Made seldom;
    sweeps share it by identity.
    """

    members: tuple[Member, ...]
    names: tuple[str, ...]
    index: Mapping[str, int]  # where a device is among them
    starts: tuple[int, ...]
    size: int  # numbers in all, the 0 at the end included
    clocks: NDArray[np.intp]  # shape (CLOCKS, members); the 0 at the end where there is none
    offered: NDArray[np.bool_]  # which clocks each member has, of the same shape
    partial: NDArray[np.bool_]  # of which members something is known to be absent

    @staticmethod
    def of(members: tuple[Member, ...]) -> Fleet:
        """Line up `members`."""
        starts: list[int] = []
        size = 0
        for member in members:
            starts.append(size)
            size += member.size
        clocks = np.full((len(CLOCKS), len(members)), size, np.intp)
        for i, member in enumerate(members):
            for clock, slot in member.clocks.items():
                clocks[CLOCKS.index(clock), i] = starts[i] + slot
        names = tuple(member.device for member in members)
        partial = np.array([bool(member.errors) for member in members], np.bool_)
        index = {name: i for i, name in enumerate(names)}
        return Fleet(
            members, names, index, tuple(starts), size + 1, clocks, clocks != size, partial
        )

    def place(self, i: int) -> slice:
        """Return where the numbers of member `i` stand."""
        return slice(self.starts[i], self.starts[i] + self.members[i].size)

    def numbers(self, i: int, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return the numbers of member `i` by themselves: a copy, that keeps nobody else's."""
        return numbers[self.place(i)].copy()

    def clocks_of(self, i: int, numbers: NDArray[np.uint64]) -> Clocks:
        """Return the clocks of member `i`; a negative one is left out."""
        start = self.starts[i]
        told = {
            clock: value
            for clock, slot in self.members[i].clocks.items()
            if (value := int(numbers[start + slot])) < NEGATIVE
        }
        return Clocks(**told)


def seen(sweep: Sweep) -> list[str]:
    """Return the devices that were seen."""
    return [sweep.fleet.names[i] for i in np.flatnonzero(sweep.present).tolist()]


def moment(sweep: Sweep, i: int) -> datetime:
    """Return when member `i` answered."""
    return sweep.at + timedelta(seconds=float(sweep.when_s[i]) - sweep.mono_s)


def batch_of(sweep: Sweep, i: int) -> Batch:
    """Return the look at member `i` by itself."""
    member = sweep.fleet.members[i]
    numbers = sweep.fleet.numbers(i, sweep.numbers)
    return Batch(
        device=member.device,
        at=moment(sweep, i),
        mono_s=float(sweep.when_s[i]),
        took_s=float(sweep.took_s[i]),
        tables=tuple(part.table(numbers) for part in member.parts),
        clocks=sweep.fleet.clocks_of(i, sweep.numbers),
        facts=member.facts,
        errors=member.errors,
        source=sweep.source,
    )


def batches(sweep: Sweep) -> Iterator[Batch]:
    """Give every look of a sweep by itself, in the order they are judged."""
    for i in np.flatnonzero(sweep.present).tolist():
        yield batch_of(sweep, i)
