"""One look as slots: which variables are asked for, and how their values become tables. Pure.

Slots are in the order clocks and watched scalars, then table by table its counters, column by
column, then its gauges: so a table's arrays are slices of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.snmp_poll import parse
from collectors.snmp_poll.engine import Values
from collectors.snmp_poll.plan import Wanted
from collectors.snmp_poll.rows import Rows, layout
from collectors.snmp_poll.tables import COUNTERS, ColumnSpec, TableSpec
from netopsd.core.model import Clocks, Kind, Layout, Table

KINDS = {
    Kind.COUNTER32: parse.COUNTER32,
    Kind.COUNTER64: parse.COUNTER64,
    Kind.GAUGE: parse.GAUGE,
    Kind.STATE: parse.GAUGE,
    Kind.TICKS: parse.TICKS,
}
SCALAR = "0"
SCALAR_ROWS = Rows(index=(SCALAR,), names=(SCALAR,), labels={}, errors={})
_CLOCKS = {
    "sys_uptime": "sys_uptime_ticks",
    "hr_uptime": "hr_uptime_ticks",
    "engine_boots": "engine_boots",
    "engine_time": "engine_time_s",
}
_NEGATIVE = 2**63


@dataclass(slots=True)
class Learnt:
    """What is known of one table of one device."""

    spec: TableSpec
    rows: Rows | None = None
    layout: Layout | None = None
    absent: dict[tuple[str, str], str] = field(default_factory=dict)  # (column, index) → reason
    watch: dict[str, int] = field(default_factory=dict)  # as it was when the rows were learnt
    walked_s: float = float("-inf")
    due_s: float = float("-inf")
    repetitions: int = 0
    fresh: bool = True  # its numbers have not been read since the rows were learnt
    idle_walks: int = 0  # walks in a row that `watch` asked for and that found nothing new


@dataclass(slots=True)
class Half:
    """The counters or the gauges of a table: `places` are their flat positions, None where every
    cell is asked for."""

    start: int
    count: int
    shape: tuple[int, int]
    places: NDArray[np.intp] | None
    absent: NDArray[np.bool_] | None

    def place(self, slot: int) -> int:
        at = slot - self.start
        return at if self.places is None else int(self.places[at])

    def raw(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        got = values[self.start : self.start + self.count]
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


@dataclass(slots=True)
class Segment:
    """One table's part of a look."""

    learnt: Learnt
    layout: Layout
    columns: tuple[ColumnSpec, ...]  # counters, then gauges
    counters: Half
    gauges: Half

    @property
    def end(self) -> int:
        return self.gauges.start + self.gauges.count

    def cell(self, slot: int) -> tuple[ColumnSpec, str]:
        """Return the column and the index a slot belongs to."""
        half = self.counters if slot < self.gauges.start else self.gauges
        column, row = divmod(half.place(slot), len(self.layout.index))
        offset = 0 if half is self.counters else self.counters.shape[0]
        return self.columns[offset + column], self.layout.index[row]

    def table(self, values: Values) -> Table:
        wrong = values.wrong
        signed = self.gauges.raw(values.raw).view(np.int64)
        gauges = signed.astype(np.float64)
        unread = self.gauges.missing(wrong) if wrong else self.gauges.absent
        if unread is not None:
            gauges[unread] = np.nan
        return Table(
            self.layout,
            self.counters.raw(values.raw),
            gauges,
            self.counters.missing(wrong) if wrong else self.counters.absent,
        )


@dataclass(slots=True)
class LookPlan:
    """All that one kind of look asks for. `query` is the engine's own form of it."""

    query: Any
    size: int
    clocks: tuple[tuple[int, str, ColumnSpec, str], ...]  # slot, field, column, "table.column"
    watch: tuple[tuple[int, Learnt, str], ...]  # slot, table, OID
    segments: tuple[Segment, ...]
    errors: Mapping[str, str]  # standing ones: what is known to be absent


def wanted(
    tables: Iterable[Learnt], no_counter64: bool, absent: Mapping[str, str]
) -> tuple[Wanted, LookPlan]:
    """Return what to ask for `tables`, and the plan without its query.

    `absent` are scalars (by OID) the device does not have. Sets each table's layout.
    """
    asked = Wanted()
    clocks: list[tuple[int, str, ColumnSpec, str]] = []
    watch: list[tuple[int, Learnt, str]] = []
    errors: dict[str, str] = {}
    tables = tuple(tables)
    for learnt in tables:
        for column in learnt.spec.clocks:
            if column.oid not in absent:
                slot = asked.add(column.oid, SCALAR, KINDS[column.kind])
                told = f"{learnt.spec.name}.{column.name}"
                clocks.append((slot, _CLOCKS[column.clock], column, told))
            elif not column.optional:
                errors[f"{learnt.spec.name}.{column.name}"] = absent[column.oid]
        for oid in learnt.spec.watch:
            if oid not in absent:
                head, _, last = oid.rpartition(".")
                watch.append((asked.add(head, last, parse.GAUGE), learnt, oid))
    segments = tuple(
        made for each in tables if (made := _segment(asked, each, no_counter64, errors))
    )
    plan = LookPlan(None, len(asked.names), tuple(clocks), tuple(watch), segments, errors)
    return asked, plan


def _segment(
    asked: Wanted, learnt: Learnt, no_counter64: bool, errors: dict[str, str]
) -> Segment | None:
    spec, rows = learnt.spec, SCALAR_ROWS if learnt.spec.scalar else learnt.rows
    if rows is None:
        return None
    for name, reason in rows.errors.items():
        errors[f"{spec.name}.{name}"] = reason
    if not rows.index and not spec.optional:
        errors.setdefault(spec.name, "no rows")
    cells = _cells(learnt, rows, no_counter64, errors)
    columns = tuple(column for column, places in cells if places)
    if not columns:
        return None
    learnt.layout = layout(spec, rows, columns, learnt.layout)
    count = len(rows.index)
    halves: list[Half] = []
    for kinds in (True, False):
        some = [(c, p) for c, p in cells if p and (c.kind in COUNTERS) is kinds]
        start = len(asked.names)
        flat: list[int] = []
        for at, (column, places) in enumerate(some):
            for row in places:
                asked.add(column.oid, rows.index[row], KINDS[column.kind])
                flat.append(at * count + row)
        halves.append(_half(start, flat, (len(some), count)))
    return Segment(learnt, learnt.layout, columns, *halves)


def _half(start: int, flat: list[int], shape: tuple[int, int]) -> Half:
    if len(flat) == shape[0] * shape[1]:
        return Half(start, len(flat), shape, None, None)
    absent = np.ones(shape, np.bool_)
    absent.reshape(-1)[flat] = False
    return Half(start, len(flat), shape, np.array(flat, np.intp), absent)


def _cells(
    learnt: Learnt, rows: Rows, no_counter64: bool, errors: dict[str, str]
) -> list[tuple[ColumnSpec, list[int]]]:
    """Return which rows of each column to ask for; says in `errors` what is known to lack."""
    spec, absent = learnt.spec, learnt.absent
    every = range(len(rows.index))
    without = {c.name for c in spec.numbers if no_counter64 and c.kind is Kind.COUNTER64}
    lacking: dict[str, set[int]] = {name: set(every) for name in without}
    position = {index: at for at, index in enumerate(rows.index)} if absent else {}
    by_name = {column.name: column for column in spec.column} if absent else {}
    for (name, index), reason in absent.items():
        if index in position:
            lacking.setdefault(name, set()).add(position[index])
            column = by_name.get(name)
            if column and (not column.optional or reason not in parse.ABSENCES):
                errors[f"{spec.name}.{name}"] = reason
    found: list[tuple[ColumnSpec, list[int]]] = []
    for column in spec.numbers:
        less = lacking.get(column.name, set())
        if column.fallback_for:
            instead = lacking.get(column.fallback_for, set())
            found.append((column, sorted(instead - less)))
        else:
            found.append((column, [row for row in every if row not in less]))
    return found


def clocks_of(plan: LookPlan, values: Values, errors: dict[str, str]) -> Clocks:
    """Return the device's clocks; a negative one is left out (some agents' snmpEngineTime)."""
    told: dict[str, int] = {}
    for slot, name, _, where in plan.clocks:
        value = int(values.raw[slot])
        if slot in values.wrong:
            continue
        if value >= _NEGATIVE:
            errors[where] = "negative"
            continue
        told[name] = value
    return Clocks(**told)
