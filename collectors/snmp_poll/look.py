"""One look as slots: which variables are asked for, and how their values become tables. Pure.

Slots are in the order clocks and watched scalars, then table by table its counters, column by
column, then its gauges: so a table's arrays are slices of the answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from collectors.snmp_poll import parse
from collectors.snmp_poll.engine import Values
from collectors.snmp_poll.plan import Wanted
from collectors.snmp_poll.request import Peer
from collectors.snmp_poll.rows import Rows, layout
from collectors.snmp_poll.squad import Asked
from collectors.snmp_poll.tables import COUNTERS, ColumnSpec, TableSpec
from netopsd.core.fleet import NEGATIVE, Grid, Member, Part
from netopsd.core.model import Batch, Blind, Clocks, Kind, Layout, Table
from netopsd.errors import CannotLook

KINDS = {
    Kind.COUNTER32: parse.COUNTER32,
    Kind.COUNTER64: parse.COUNTER64,
    Kind.GAUGE: parse.GAUGE,
    Kind.STATE: parse.GAUGE,
    Kind.TICKS: parse.TICKS,
}
IDLE_WALKS = 3  # so many walks for nothing, and a watched scalar is no longer believed
SCALAR = "0"
SCALAR_ROWS = Rows(index=(SCALAR,), names=(SCALAR,), labels={}, errors={})
_CLOCKS = {
    "sys_uptime": "sys_uptime_ticks",
    "hr_uptime": "hr_uptime_ticks",
    "engine_boots": "engine_boots",
    "engine_time": "engine_time_s",
}


@dataclass(slots=True)
class Learnt:
    """What is known of one table of one device."""

    spec: TableSpec
    rows: Rows | None = None
    layout: Layout | None = None
    former: Layout | None = None  # the one before: absent columns come and go when rows are learnt
    absent: dict[tuple[str, str], str] = field(default_factory=dict)  # (column, index) → reason
    watch: dict[str, int] = field(default_factory=dict)  # as it was before the rows were learnt
    walked_s: float = float("-inf")
    due_s: float = float("-inf")
    repetitions: int = 0
    fresh: bool = True  # its numbers have not been read since the rows were learnt
    cuts: int = 0  # walks in a row that were cut short
    doubt: bool = False  # the rows may be others since a restart, and were not learnt since
    idle_walks: int = 0  # walks in a row that `watch` asked for and that found nothing new


@dataclass(slots=True)
class Segment:
    """One table's part of a look."""

    learnt: Learnt
    part: Part
    columns: tuple[ColumnSpec, ...]  # counters, then gauges

    @property
    def layout(self) -> Layout:
        return self.part.layout

    @property
    def slots(self) -> range:
        return range(self.part.counters.start, self.part.end)

    def cell(self, slot: int) -> tuple[ColumnSpec, str]:
        """Return the column and the index a slot belongs to."""
        part = self.part
        grid = part.counters if slot < part.gauges.start else part.gauges
        column, row = divmod(grid.place(slot), len(self.layout.index))
        offset = 0 if grid is part.counters else part.counters.shape[0]
        return self.columns[offset + column], self.layout.index[row]

    def table(self, values: Values) -> Table:
        return self.part.table(values.raw, values.wrong)


@dataclass(slots=True)
class LookPlan:
    """All that one kind of look asks for. `query` is the engine's own form of it."""

    query: Any
    size: int
    digest: bytes  # of the names and kinds asked for
    clocks: tuple[tuple[int, str, ColumnSpec, str], ...]  # slot, field, column, "table.column"
    watch: tuple[tuple[int, Learnt, str], ...]  # slot, table, OID
    segments: tuple[Segment, ...]
    errors: Mapping[str, str]  # standing ones: what is known to be absent
    most: int = 0  # variables in one packet
    together: Asked | None = None  # the form of it that squads use, where there is one

    def tables(self, values: Values) -> tuple[Table, ...]:
        """Return the tables of which anything was read."""
        wrong = values.wrong
        return tuple(
            segment.table(values)
            for segment in self.segments
            if not wrong or not all(slot in wrong for slot in segment.slots)
        )

    def same(self, other: LookPlan) -> bool:
        """Whether the two ask the same and mean the same by it."""
        return (
            (self.most, self.digest, self.clocks, self.errors)
            == (other.most, other.digest, other.clocks, other.errors)
            and [(slot, id(learnt), oid) for slot, learnt, oid in self.watch]
            == [(slot, id(learnt), oid) for slot, learnt, oid in other.watch]
            and [id(s.layout) for s in self.segments] == [id(s.layout) for s in other.segments]
        )


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
    digest = hashlib.blake2b(b"".join((*asked.names, asked.kinds)), digest_size=16).digest()
    size = len(asked.names)
    return asked, LookPlan(None, size, digest, tuple(clocks), tuple(watch), segments, errors)


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
    found = layout(spec, rows, columns, (learnt.layout, learnt.former))
    if found is not learnt.layout:
        learnt.layout, learnt.former = found, learnt.layout
    count = len(rows.index)
    grids: list[Grid] = []
    for kinds in (True, False):
        some = [(c, p) for c, p in cells if p and (c.kind in COUNTERS) is kinds]
        start = len(asked.names)
        flat: list[int] = []
        for at, (column, places) in enumerate(some):
            for row in places:
                asked.add(column.oid, rows.index[row], KINDS[column.kind])
                flat.append(at * count + row)
        grids.append(_grid(start, flat, (len(some), count)))
    return Segment(learnt, Part(found, *grids), columns)


def _grid(start: int, flat: list[int], shape: tuple[int, int]) -> Grid:
    if len(flat) == shape[0] * shape[1]:
        return Grid(start, len(flat), shape, None, None)
    absent = np.ones(shape, np.bool_)
    absent.reshape(-1)[flat] = False
    return Grid(start, len(flat), shape, np.array(flat, np.intp), absent)


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
        if value >= NEGATIVE:
            errors[where] = "negative"
            continue
        told[name] = value
    return Clocks(**told)


def note_absent(plan: LookPlan, wrong: Mapping[int, str], absent: dict[str, str]) -> bool:
    """Take note of what the device does not have: scalars in `absent`, cells with their tables.

    Return whether there was any, and other things are to be asked for.
    """
    noted = False
    scalars = {slot: column.oid for slot, _, column, _ in plan.clocks}
    scalars |= {slot: oid for slot, _, oid in plan.watch}
    for slot, oid in scalars.items():
        if wrong.get(slot) in parse.ABSENCES:
            absent[oid] = wrong[slot]
            noted = True
    for segment in plan.segments:
        has_fallback = {c.fallback_for for c in segment.learnt.spec.column}
        for slot in segment.slots:
            why = wrong.get(slot)
            if why is None:
                continue
            column, index = segment.cell(slot)
            if why in parse.ABSENCES or (column.name in has_fallback and " instead of " in why):
                segment.learnt.absent[column.name, index] = why
                # What stands in for it is asked for the first time at the next look.
                segment.learnt.fresh = True
                noted = True
    return noted


def tell_wrong(plan: LookPlan, wrong: Mapping[int, str], errors: dict[str, str]) -> None:
    """Say once per column why it, or some of its rows, could not be read."""
    for slot, _, column, where in plan.clocks:
        why = wrong.get(slot)
        if why is not None and not (column.optional and why in parse.ABSENCES):
            errors[where] = why
    for segment in plan.segments:
        for slot in segment.slots:
            why = wrong.get(slot)
            if why is None:
                continue
            column, _ = segment.cell(slot)
            if not (column.optional and why in parse.ABSENCES):
                errors.setdefault(f"{segment.layout.table}.{column.name}", why)


def batch_of(
    device: str,
    plan: LookPlan,
    values: Values,
    told: tuple[Mapping[str, str], Mapping[str, str]],
    took_s: float,
) -> Batch:
    """Return a look. `told` are the facts, and the errors besides those of the plan and its values.

    Raises CannotLook where nothing of what was asked for is there.
    """
    errors = {**plan.errors, **told[1]}
    clocks = clocks_of(plan, values, errors)
    if values.wrong:
        tell_wrong(plan, values.wrong, errors)
    tables = plan.tables(values)
    if not tables and not told[0] and len(values.wrong) == plan.size:
        why = next(iter(errors.values()), "it offers nothing of what is asked for")
        raise CannotLook(device, Blind.MALFORMED, why)
    return Batch(
        device=device,
        at=values.at,
        mono_s=values.mono_s,
        took_s=took_s,
        tables=tables,
        clocks=clocks,
        facts=told[0],
        errors=errors,
    )


def together(
    device: str,
    plan: LookPlan,
    found: tuple[Peer, tuple[parse.Packet, ...]],
    told: tuple[Mapping[str, str], Mapping[str, str]],
) -> Asked | None:
    """Return what a squad asks a device; `plan.together` itself where that is still the same.

    `told` are the facts and errors of its looks. None where a watched scalar is not known yet.
    """
    watched: list[tuple[int, int]] = []
    for slot, learnt, oid in plan.watch:
        if oid not in learnt.watch:
            return None
        if learnt.idle_walks < IDLE_WALKS:
            watched.append((slot, learnt.watch[oid]))
    member = Member(
        device=device,
        size=plan.size,
        parts=tuple(segment.part for segment in plan.segments),
        clocks={name: slot for slot, name, *_ in plan.clocks},
        facts=told[0],
        errors=told[1],
    )
    security = found[0].security
    around = security.overhead if security is not None else 0
    made = Asked(*found, member, tuple(watched), plan, around)
    known = plan.together
    return known if known is not None and known.same(made) else made
