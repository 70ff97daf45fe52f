"""Thresholds: hysteresis, conditions, absent numbers, whole tables at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netopsd.core.inventory import Take, Threshold
from netopsd.core.model import Layout, Table
from netopsd.core.rules import RulePlan, judge

NAN = float("nan")
HOT = Threshold(alarm="hot", table="s", column="value", raise_above=80, clear_at=70)


def layout(rows: int) -> Layout:
    names = tuple(f"r{n}" for n in range(rows))
    return Layout(
        table="s",
        rows=names,
        index=names,
        labels={"kind": tuple("ab"[n % 2] for n in range(rows))},
        counters=(),
        widths=(),
        gauges=("value", "limit", "on"),
    )


def bad(
    rule: Threshold, values: list[float], was: list[bool] | None = None, **more: list[float]
) -> list[bool]:
    shape = layout(len(values))
    gauges = np.array(
        [
            values,
            more.get("limit", [1.0] * len(values)),
            more.get("on", [1.0] * len(values)),
        ]
    )
    table = Table(shape, np.zeros((0, len(values)), np.uint64), gauges)
    plan = RulePlan.of(shape, (rule,))
    before = np.array([was]) if was is not None else None
    return list(map(bool, judge(plan, table, None, before)[0]))


def test_between_the_thresholds_a_row_stays_what_it_was() -> None:
    values = [60.0, 75.0, 75.0, 90.0]
    assert bad(HOT, values, [True, True, False, False]) == [False, True, False, True]


def test_below_works_the_other_way_round() -> None:
    low = replace(HOT, raise_above=None, raise_below=10.0, clear_at=20.0)
    assert bad(low, [5.0, 15.0, 15.0, 25.0], [False, True, False, True]) == [
        True, True, False, False,
    ]  # fmt: skip


def test_an_absent_number_says_nothing() -> None:
    assert bad(HOT, [NAN, NAN], [True, False]) == [True, False]
    states = Threshold(alarm="x", table="s", column="value", bad=frozenset({2.0}))
    assert bad(states, [NAN, NAN, 2.0], [True, False, False]) == [True, False, True]


def test_a_row_that_leaves_the_condition_is_good() -> None:
    rule = replace(HOT, only_when=(("on", 1.0),))
    assert bad(rule, [90.0, 90.0], [True, True], on=[1.0, 2.0]) == [True, False]


def test_only_some_rows_by_name_and_by_label() -> None:
    assert bad(replace(HOT, only_rows="r[01]$"), [90.0] * 3) == [True, True, False]
    assert bad(replace(HOT, only_labels=(("kind", "^b$"),)), [90.0] * 3) == [False, True, False]


def test_a_ratio_is_not_judged_where_it_has_no_meaning() -> None:
    share = replace(HOT, scale=100.0, per="limit")
    assert bad(share, [9.0, 9.0, 9.0], limit=[10.0, 0.0, NAN]) == [True, False, False]


def test_a_rule_whose_column_the_device_lacks_is_left_out() -> None:
    rule = replace(HOT, column="nothing")
    assert RulePlan.of(layout(1), (rule,)).rules == ()
    rate = replace(HOT, take=Take.RATE)
    assert RulePlan.of(layout(1), (rate,)).rules == ()


@given(st.lists(st.tuples(st.floats(allow_nan=True), st.booleans()), min_size=1, max_size=50))
def test_columns_judge_as_one_row_at_a_time_would(rows: list[tuple[float, bool]]) -> None:
    values, was = [v for v, _ in rows], [w for _, w in rows]
    expected = [
        w if v != v else True if v > 80 else False if v <= 70 else w  # noqa: PLR0124
        for v, w in rows
    ]
    assert bad(HOT, values, was) == expected
