"""Thresholds over all devices of a fleet at once.

A cell is one rule for one row of one table of one device. Cells of one threshold stand together, so
each threshold is a few passes over arrays whatever the number of devices, and each pass does to a
number what `rules.judge` does: the same floats come out, and the same rows are bad.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netopsd.core.fleet import Fleet, Part
from netopsd.core.inventory import Take, Threshold
from netopsd.core.rates import SPEED_LIMIT, SPEED_UNIT
from netopsd.core.rules import Rule, RulePlan

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Slots = NDArray[np.intp]
Numbers = NDArray[np.uint64]
Thresholds = Mapping[str, tuple[Threshold, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """All cells of one threshold: where each one's numbers stand, one element per cell."""

    threshold: Threshold
    cells: slice
    member: Slots
    value: Slots
    when: tuple[tuple[Slots, float], ...]
    per: Slots | None
    counter: Counting | None  # None: the value is a gauge


@dataclass(frozen=True, slots=True, eq=False)
class Counting:
    """What tells a counter's growth from a gap; places are the 0 where a device has no such."""

    modulus: Numbers
    wide: Bools
    discontinuity: Slots
    speed: Slots


@dataclass(frozen=True, slots=True, eq=False)
class Ruled:
    """The rules of one table of one member, and where their cells are.

    `spots[n]` are (rule, rows, cells): which cells judge which rows by which rule.
    """

    plan: RulePlan
    where: Mapping[str, int]
    spots: tuple[tuple[int, Slots, slice], ...]

    def bad(self, cells: Bools) -> Bools:
        """Return which rows are bad, shape (rules, rows), as `rules.judge` gives them."""
        out = np.zeros((len(self.plan.rules), len(self.plan.layout.rows)), np.bool_)
        for rule, rows, span in self.spots:
            out[rule, rows] = cells[span]
        return out

    def keep(self, bad: Bools, cells: Bools) -> bool:
        """Put `bad` into `cells`; False, and nothing done, where a bad row has no cell."""
        held = sum(int(np.count_nonzero(bad[rule, rows])) for rule, rows, _ in self.spots)
        if held != int(np.count_nonzero(bad)):
            return False
        for rule, rows, span in self.spots:
            cells[span] = bad[rule, rows]
        return True

    def cell(self, alarm: str, row: str) -> int | None:
        """Return the cell that judges `row` for an alarm type: -1 where no cell does, None where no
        rule of this table speaks of that alarm."""
        rule, at = self.plan.by_alarm.get(alarm), self.where.get(row)
        if rule is None:
            return None
        for one, rows, span in self.spots:
            if one == rule and at is not None:
                found = np.flatnonzero(rows == at)
                return int(span.start + found[0]) if len(found) else -1
        return -1


@dataclass(frozen=True, slots=True, eq=False)
class FleetRules:
    """The rules of a fleet, drawn once and kept while fleet and thresholds live."""

    fleet: Fleet
    thresholds: Thresholds  # as given: another mapping means other rules
    groups: tuple[Group, ...]
    parts: tuple[tuple[Ruled, ...], ...]  # by member, as its parts
    member: Slots  # of each cell
    count: int  # cells

    @staticmethod
    def of(fleet: Fleet, thresholds: Thresholds) -> FleetRules:
        """Find every cell."""
        found: defaultdict[int, list[_Piece]] = defaultdict(list)
        order: dict[int, Threshold] = {}
        plans: list[list[tuple[Part, RulePlan]]] = []
        for i, member in enumerate(fleet.members):
            plans.append([])
            for part in member.parts:
                plan = RulePlan.of(part.layout, thresholds.get(part.layout.table, ()))
                plans[i].append((part, plan))
                for rule in plan.rules:
                    order.setdefault(id(rule.threshold), rule.threshold)
                    found[id(rule.threshold)].append(_piece(fleet, i, part, plan, rule))
        groups: list[Group] = []
        spots: dict[tuple[int, int], slice] = {}
        count = 0
        for key, threshold in order.items():
            pieces = found[key]
            groups.append(_group(threshold, pieces, count))
            for piece in pieces:
                spots[id(piece.rule), piece.i] = slice(count, count + len(piece.rows))
                count += len(piece.rows)
        rows_of = {(id(p.rule), p.i): p.rows for pieces in found.values() for p in pieces}
        parts = tuple(
            tuple(_ruled(i, part, plan, rows_of, spots) for part, plan in told)
            for i, told in enumerate(plans)
        )
        cells = np.concatenate([np.zeros(0, np.intp), *(group.member for group in groups)])
        return FleetRules(fleet, thresholds, tuple(groups), parts, cells, count)

    def judge(self, before: Numbers, after: Numbers, elapsed_s: Floats, was: Bools) -> Bools:
        """Return which cells are bad, `elapsed_s` being one number per member.

        `before` and `after` are sweeps of the same fleet. What cannot be judged stays as it `was`.
        """
        bad = np.empty(self.count, np.bool_)
        with np.errstate(all="ignore"):  # members that were not seen have numbers that mean nothing
            for group in self.groups:
                number = _number(group, before, after, elapsed_s)
                bad[group.cells] = _bad(group, after, number, was[group.cells])
        return bad


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """The cells of one rule in one table of one member."""

    rule: Rule
    i: int
    rows: Slots
    value: Slots
    when: tuple[tuple[Slots, float], ...]
    per: Slots | None
    counter: Counting | None


def _piece(fleet: Fleet, i: int, part: Part, plan: RulePlan, rule: Rule) -> _Piece:
    """Find the cells of a rule: rows it speaks of that have all the numbers it needs."""
    start = fleet.starts[i]
    grid, at = (part.counters, rule.counter) if rule.counter >= 0 else (part.gauges, rule.gauge)
    needed = [grid.slots(at), *(part.gauges.slots(column) for column, _ in rule.when)]
    if rule.per >= 0:
        needed.append(part.gauges.slots(rule.per))
    keep = np.ones(len(plan.layout.rows), np.bool_) if rule.rows is None else rule.rows.copy()
    for slots in needed:
        keep &= slots >= 0
    rows = np.flatnonzero(keep)
    found = [slots[rows] + start for slots in needed]
    conditions = found[1 : 1 + len(rule.when)]
    return _Piece(
        rule,
        i,
        rows,
        found[0],
        tuple((slots, value) for slots, (_, value) in zip(conditions, rule.when, strict=True)),
        found[-1] if rule.per >= 0 else None,
        _counting(fleet, start, part, plan, (rule, rows)) if rule.counter >= 0 else None,
    )


def _counting(
    fleet: Fleet, start: int, part: Part, plan: RulePlan, of: tuple[Rule, Slots]
) -> Counting:
    (rule, rows), counters = of, plan.counters
    nothing = np.full(len(rows), fleet.size - 1, np.intp)

    def gauge(column: int) -> Slots:
        if column < 0:
            return nothing
        slots = part.gauges.slots(column)[rows]
        return np.where(slots >= 0, slots + start, fleet.size - 1)

    bounded = rule.counter in counters.octets.tolist()
    return Counting(
        np.full(len(rows), counters.modulus[rule.counter, 0], np.uint64),
        np.full(len(rows), counters.wide[rule.counter, 0], np.bool_),
        gauge(counters.discontinuity),
        gauge(counters.speed) if bounded else nothing,
    )


def _group(threshold: Threshold, pieces: list[_Piece], start: int) -> Group:
    member = np.concatenate([np.full(len(p.rows), p.i, np.intp) for p in pieces])
    first = pieces[0]
    return Group(
        threshold,
        slice(start, start + len(member)),
        member,
        np.concatenate([p.value for p in pieces]),
        tuple(
            (np.concatenate([p.when[n][0] for p in pieces]), value)
            for n, (_, value) in enumerate(first.when)
        ),
        None if first.per is None else np.concatenate([p.per for p in pieces if p.per is not None]),
        _joined([p.counter for p in pieces if p.counter is not None]),
    )


def _joined(pieces: list[Counting]) -> Counting | None:
    if not pieces:
        return None
    return Counting(
        np.concatenate([p.modulus for p in pieces]),
        np.concatenate([p.wide for p in pieces]),
        np.concatenate([p.discontinuity for p in pieces]),
        np.concatenate([p.speed for p in pieces]),
    )


def _ruled(
    i: int,
    part: Part,
    plan: RulePlan,
    rows: Mapping[tuple[int, int], Slots],
    spots: Mapping[tuple[int, int], slice],
) -> Ruled:
    where = {row: at for at, row in enumerate(part.layout.rows)}
    told = tuple(
        (number, rows[id(rule), i], spots[id(rule), i]) for number, rule in enumerate(plan.rules)
    )
    return Ruled(plan, where, told)


def _gauge(numbers: Numbers, slots: Slots) -> Floats:
    return numbers[slots].view(np.int64).astype(np.float64)


def _number(group: Group, before: Numbers, after: Numbers, elapsed_s: Floats) -> Floats:
    """Return the number each cell judges; NaN where there is none (`rules.numbers`)."""
    t = group.threshold
    number: Floats
    if group.counter is None:
        number = _gauge(after, group.value)
    else:
        number = _grown(group, group.counter, (before, after), elapsed_s[group.member])
        if t.take is Take.RATE:
            number /= elapsed_s[group.member]
    if t.scale != 1.0:
        number = number * t.scale
    if group.per is not None:
        divisor = _gauge(after, group.per)
        number = np.divide(number, divisor, out=np.full(len(number), np.nan), where=divisor > 0)
    return number


def _grown(
    group: Group, how: Counting, looks: tuple[Numbers, Numbers], elapsed_s: Floats
) -> Floats:
    """Return what each counter grew by, NaN for a gap (`rates.deltas`)."""
    before, after = looks
    was, now = before[group.value], after[group.value]
    grown = (now - was) & how.modulus
    valid = now >= was
    valid |= ~how.wide
    valid &= before[how.discontinuity] == after[how.discontinuity]
    most = _gauge(after, how.speed) * (SPEED_LIMIT * SPEED_UNIT * np.maximum(elapsed_s, 0.0))
    valid &= (grown <= most) | ~(most > 0)
    valid &= elapsed_s > 0
    number = grown.astype(np.float64)
    number[~valid] = np.nan
    return number


def _bad(group: Group, after: Numbers, number: Floats, was: Bools) -> Bools:
    """Return which cells are bad (`rules.judge` for one rule)."""
    t = group.threshold
    bad = np.zeros(len(number), np.bool_)
    for value in sorted(t.bad):
        bad |= number == value
    known = ~np.isnan(number)
    if group.counter is None and t.bad:  # enumerated states
        result = bad | (was & ~known)
    else:
        good = np.ones(len(number), np.bool_)
        if t.raise_above is not None:
            bad |= number > t.raise_above
            good &= number <= (t.raise_above if t.clear_at is None else t.clear_at)
        if t.raise_below is not None:
            bad |= number < t.raise_below
            good &= number >= (t.raise_below if t.clear_at is None else t.clear_at)
        result = (bad | (was & ~good & ~bad) | (was & ~known)) & (known | was)
    for slots, value in group.when:
        result &= _gauge(after, slots) == value
    return result
