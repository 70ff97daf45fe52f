"""What is known of a device from its latest looks: by itself, or within a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from netopsd.core.fleet import moment
from netopsd.core.fleet_rules import FleetRules
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


@dataclass(frozen=True, slots=True, eq=False)
class SweepLook:
    """The latest sweep of a fleet and what the rules said: `bad` has one element per cell of
    `rules`, `restarted_s` one per member."""

    sweep: Sweep
    rules: FleetRules
    bad: NDArray[np.bool_]
    restarted_s: NDArray[np.float64]


class Swept:
    """A device's latest look as part of a sweep; `look` is what it would be by itself.

    `beside` holds what other sources, or tables read less often, told before.
    """

    __slots__ = ("at", "beside", "i", "now")

    def __init__(self, now: SweepLook, i: int, at: datetime, beside: Look | None) -> None:
        self.now = now
        self.i = i
        self.at = at
        self.beside = beside

    def rows(self, table: str) -> Rows | None:
        """Return the rows of a table, None where it was not read. Numbers are not touched."""
        parts = zip(self.now.sweep.fleet.members[self.i].parts, self.now.rules.parts[self.i])  # noqa: B905
        for part, ruled in parts:
            if part.layout.table == table:
                return part.layout, ruled.where
        return self.beside.rows(table) if self.beside is not None else None

    def look(self) -> Look:
        """Return the look by itself."""
        now, i, sweep = self.now, self.i, self.now.sweep
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
                bad=ruled.bad(now.bad),
                where=ruled.where,
            )
            for part, ruled in zip(fleet.members[i].parts, now.rules.parts[i], strict=True)
        }
        seen = {sweep.source: Seen(at, mono_s, clocks, float(now.restarted_s[i]))}
        if self.beside is None:
            return Look(at, seen, tables)
        return Look(
            max(at, self.beside.at), {**self.beside.seen, **seen}, {**self.beside.tables, **tables}
        )
