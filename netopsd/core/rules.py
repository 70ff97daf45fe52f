"""Thresholds over columns: which rows are bad now, all rows of a table at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netopsd.core.inventory import Take, Threshold
from netopsd.core.model import Layout, Table
from netopsd.core.rates import CounterPlan, Deltas

HAIR = 1e-9  # what sums of floats may be off by, and more
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One threshold, with its columns found in one layout."""

    threshold: Threshold
    counter: int  # position among the counters, -1 for a gauge
    gauge: int
    per: int
    when: tuple[tuple[int, float], ...]
    rows: Bools | None  # rows it speaks of; None: all
    bad: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RulePlan:
    """The rules that apply to one layout, drawn once and kept while the layout lives."""

    layout: Layout
    thresholds: tuple[Threshold, ...]  # as given: another tuple means another plan
    rules: tuple[Rule, ...]
    by_alarm: Mapping[str, int]  # alarm type id → position in `rules`
    counters: CounterPlan
    rated: bool  # some rule needs what counters grew by

    @staticmethod
    def of(layout: Layout, thresholds: tuple[Threshold, ...]) -> RulePlan:
        """Find each rule's columns; a rule whose columns the device does not offer is left out."""
        rules = tuple(rule for t in thresholds if (rule := _place(layout, t)) is not None)
        return RulePlan(
            layout=layout,
            thresholds=thresholds,
            rules=rules,
            by_alarm={rule.threshold.alarm: i for i, rule in enumerate(rules)},
            counters=CounterPlan.of(layout),
            rated=any(rule.counter >= 0 for rule in rules),
        )


def _place(layout: Layout, threshold: Threshold) -> Rule | None:
    gauges = {name: i for i, name in enumerate(layout.gauges)}
    counters = {name: i for i, name in enumerate(layout.counters)}
    counter = gauge = -1
    if threshold.take is Take.VALUE:
        gauge = gauges.get(threshold.column, -1)
    else:
        counter = counters.get(threshold.column, -1)
    needed = [name for name, _ in threshold.only_when] + ([threshold.per] if threshold.per else [])
    if max(counter, gauge) < 0 or any(name not in gauges for name in needed):
        return None
    return Rule(
        threshold=threshold,
        counter=counter,
        gauge=gauge,
        per=gauges[threshold.per] if threshold.per else -1,
        when=tuple((gauges[name], value) for name, value in threshold.only_when),
        rows=_rows(layout, threshold),
        bad=tuple(sorted(threshold.bad)),
    )


def _rows(layout: Layout, threshold: Threshold) -> Bools | None:
    if not threshold.only_rows and not threshold.only_labels:
        return None
    keep = np.ones(len(layout.rows), np.bool_)
    if threshold.only_rows:
        keep &= _matching(threshold.only_rows, layout.rows)
    for label, pattern in threshold.only_labels:
        keep &= _matching(pattern, layout.labels.get(label, ("",) * len(layout.rows)))
    return keep


def _matching(pattern: str, texts: tuple[str, ...]) -> Bools:
    search = re.compile(pattern).search
    return np.fromiter((search(text) is not None for text in texts), np.bool_, len(texts))


def judge(plan: RulePlan, table: Table, grown: Deltas | None, was: Bools | None) -> Bools:
    """Return which rows are bad, shape (rules, rows).

    A row whose number is absent, or between the two thresholds, stays what it `was` (None: good).
    Where all is well and was, that is `was` itself.
    """
    if was is not None and not was.any():
        worse = (_worse(rule, table, grown) for rule in plan.rules)
        if not any(rows is not None and rows.any() for rows in worse):
            return was
    shape = (len(plan.rules), len(plan.layout.rows))
    out = np.zeros(shape, np.bool_)
    for i, rule in enumerate(plan.rules):
        before = was[i] if was is not None else out[i]
        out[i] = _judge(rule, table, grown, before)
    return out


def _worse(rule: Rule, table: Table, grown: Deltas | None) -> Bools | None:
    """Return rows among which are all that may turn bad; None for none. In few passes.

    Gaps are not looked at, and what is a hair within its limit counts as beyond it.
    """
    t = rule.threshold
    if rule.counter >= 0 and grown is None:
        return None
    if rule.bad and rule.counter < 0:
        states: Bools = table.gauges[rule.gauge] == rule.bad[0]
        for value in rule.bad[1:]:
            states |= table.gauges[rule.gauge] == value
        return states
    if grown is not None and rule.counter >= 0 and rule.per < 0 and not rule.bad:
        factor = t.scale / (grown.elapsed_s if t.take is Take.RATE and grown.elapsed_s else 1.0)
        number: Floats = grown.grown[rule.counter] * factor
    else:
        number = numbers(rule, table, grown)
    worse = np.isin(number, rule.bad) if rule.bad else None
    if t.raise_above is not None:
        above = number > t.raise_above - HAIR * abs(t.raise_above)
        worse = above if worse is None else worse | above
    if t.raise_below is not None:
        below = number < t.raise_below + HAIR * abs(t.raise_below)
        worse = below if worse is None else worse | below
    return worse


def _judge(rule: Rule, table: Table, grown: Deltas | None, was: Bools) -> Bools:
    if rule.bad and rule.counter < 0:
        return _states(rule, table, was)
    number = numbers(rule, table, grown)
    t = rule.threshold
    bad = np.zeros(len(number), np.bool_)
    good = np.ones(len(number), np.bool_)
    for value in rule.bad:
        bad |= number == value
    if t.raise_above is not None:
        bad |= number > t.raise_above
        good &= number <= (t.raise_above if t.clear_at is None else t.clear_at)
    if t.raise_below is not None:
        bad |= number < t.raise_below
        good &= number >= (t.raise_below if t.clear_at is None else t.clear_at)
    known = ~np.isnan(number)
    result = (bad | (was & ~good & ~bad) | (was & ~known)) & (known | was)
    return _limited(rule, table, result, was)


def _states(rule: Rule, table: Table, was: Bools) -> Bools:
    """The common case, enumerated states, in as few passes as can be."""
    number = table.gauges[rule.gauge]
    bad: Bools = number == rule.bad[0]
    for value in rule.bad[1:]:
        bad |= number == value
    absent = number != number  # noqa: PLR0124  (NaN, without a second pass through isnan)
    if absent.any():
        bad |= was & absent
    return _limited(rule, table, bad, was)


def _limited(rule: Rule, table: Table, bad: Bools, was: Bools) -> Bools:
    for column, value in rule.when:
        number = table.gauges[column]
        fits: Bools = number == value
        if not fits.all():
            # A column that could not be read has not changed: NaN, told without isnan's pass.
            fits |= (number != number) & was  # noqa: PLR0124
        bad &= fits
    if rule.rows is not None:
        bad &= rule.rows
    return bad


def numbers(rule: Rule, table: Table, grown: Deltas | None) -> Floats:
    """Return the number the rule judges, one per row; NaN where there is none."""
    t = rule.threshold
    number: Floats
    if rule.counter >= 0:
        if grown is None:
            return np.full(len(table.layout.rows), np.nan)
        number = grown.grown[rule.counter].astype(np.float64)
        number[~grown.valid[rule.counter]] = np.nan
        if t.take is Take.RATE:
            number /= grown.elapsed_s or np.nan
    else:
        number = table.gauges[rule.gauge]
    if t.scale != 1.0:
        number = number * t.scale
    if rule.per >= 0:
        divisor = table.gauges[rule.per]
        number = np.divide(number, divisor, out=np.full(len(number), np.nan), where=divisor > 0)
    return number
