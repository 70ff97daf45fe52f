"""What is known of a device from its latest looks: by itself, or within a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from netopsd.core.fleet import Fleet, moment
from netopsd.core.fleet_rules import FleetRules
from netopsd.core.index import Index
from netopsd.core.model import Clocks, Layout, Sweep, Table
from netopsd.core.rates import Deltas
from netopsd.core.rules import RulePlan

Rows = tuple[Layout, Mapping[str, int]]  # and where a row of a name stands


@dataclass(frozen=True, slots=True, eq=False)
class TableLook:
    """The latest look at one table and what the rules said of it.

    `at`, `mono_s` and `clocks` are those of the batch that brought it: a table read less often than
    others is older than its device's look. `bad` has shape (rules of the plan, rows); `where` maps
    a row's name to its position; `grown` is what the counters grew by since the look before, None
    where no rule asks or nobody can say.
    """

    at: datetime
    mono_s: float
    clocks: Clocks
    table: Table
    plan: RulePlan
    bad: NDArray[np.bool_]
    where: Mapping[str, int]
    grown: Deltas | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The latest batch of one source (snmp, netconf …) that saw something."""

    at: datetime
    mono_s: float
    clocks: Clocks
    restarted_s: float  # monotonic; what was counted before says nothing of after


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What is known of a device from its latest looks, whoever made them."""

    at: datetime
    seen: Mapping[str, Seen]  # by source
    tables: Mapping[str, TableLook]

    def rows(self, table: str) -> Rows | None:
        """Return the rows of a table, None where it was not read."""
        known = self.tables.get(table)
        return (known.table.layout, known.where) if known is not None else None


@dataclass(slots=True, eq=False)
class SweepLook:
    """A sweep of a fleet and what the rules said: `bad` has one element per cell of `rules`,
    `restarted_s` one per member.

    `joined` are the members of whom this was the latest look when it was made, and as long as the
    world has it for their fleet; `quiet` those of them nothing waits for (the world withdraws both
    where something happens to a member). `counted` are the members that carry services or meters,
    as `index` has it. While its members are judged one by one, those behind `upto` are still
    as they were `before`.
    """

    sweep: Sweep
    rules: FleetRules
    bad: NDArray[np.bool_]
    restarted_s: NDArray[np.float64]
    joined: NDArray[np.bool_]
    quiet: NDArray[np.bool_]
    index: Index
    counted: NDArray[np.bool_]
    before: SweepLook | None = None
    upto: int = -1

    def rows(self, i: int, table: str) -> Rows | None:
        """Return the rows of a table of member `i`. Numbers are not touched."""
        parts = zip(self.sweep.fleet.members[i].parts, self.rules.parts[i])  # noqa: B905
        for part, ruled in parts:
            if part.layout.table == table:
                return part.layout, ruled.where
        return None

    def look(self, i: int) -> Look:
        """Return the look at member `i` by itself."""
        sweep = self.sweep
        fleet = sweep.fleet
        at, mono_s = moment(sweep, i), float(sweep.when_s[i])
        clocks = fleet.clocks_of(i, sweep.numbers)
        numbers = fleet.numbers(i, sweep.numbers)
        tables = {
            part.layout.table: TableLook(
                at=at,
                mono_s=mono_s,
                clocks=clocks,
                table=part.table(numbers),
                plan=ruled.plan,
                bad=ruled.bad(self.bad),
                where=ruled.where,
            )
            for part, ruled in zip(fleet.members[i].parts, self.rules.parts[i], strict=True)
        }
        seen = {sweep.source: Seen(at, mono_s, clocks, float(self.restarted_s[i]))}
        return Look(at, seen, tables)


@dataclass(frozen=True, slots=True, eq=False)
class Swept:
    """A device's latest look as part of a sweep: `pinned`, or the latest the world has of `fleet`.

    `beside` holds what other sources, or tables read less often, told before.
    """

    fleet: Fleet
    i: int
    beside: Look | None
    pinned: SweepLook | None

    def at(self, now: SweepLook) -> datetime:
        """Return when the device was seen last, `now` being the sweep."""
        at = moment(now.sweep, self.i)
        return at if self.beside is None else max(at, self.beside.at)

    def rows(self, now: SweepLook, table: str) -> Rows | None:
        """Return the rows of a table, None where it was not read."""
        known = now.rows(self.i, table)
        return self.beside.rows(table) if known is None and self.beside is not None else known

    def look(self, now: SweepLook) -> Look:
        """Return the look by itself."""
        own, beside = now.look(self.i), self.beside
        if beside is None:
            return own
        tables = {**beside.tables, **own.tables}
        return Look(max(own.at, beside.at), {**beside.seen, **own.seen}, tables)
