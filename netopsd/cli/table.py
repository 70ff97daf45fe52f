"""A look at a device as tables: names, labels, numbers with their units, rates of two looks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from netopsd.cli import show
from netopsd.core import rates
from netopsd.core.model import Batch, Layout, Table

STATES = {
    "ifOperStatus": {
        1: "up", 2: "down", 3: "testing", 4: "unknown", 5: "dormant", 6: "notPresent",
        7: "lowerLayerDown",
    },
    "ifAdminStatus": {1: "up", 2: "down", 3: "testing"},
    "bgpPeerState": {
        1: "idle", 2: "connect", 3: "active", 4: "openSent", 5: "openConfirm", 6: "established",
    },
    "bgpPeerAdminStatus": {1: "stop", 2: "start"},
    "entPhySensorOperStatus": {1: "ok", 2: "unavailable", 3: "nonoperational"},
}  # fmt: skip
UNITS = {"ifHighSpeed": "Mbit/s", "ifSpeed": "bit/s", "hrProcessorLoad": "%"}
TICKS = ("sysUpTime", "hrSystemUptime", "ifCounterDiscontinuityTime")


def print_looks(looks: Sequence[Batch]) -> None:
    """Print the latest look; with rates where there are two that can be compared."""
    last = looks[-1]
    facts: list[tuple[str, object]] = sorted(last.facts.items())
    ticks = last.clocks.sys_uptime_ticks
    if ticks is not None:
        facts.append(("sysUpTime", show.duration(ticks / 100)))
    facts.append(("took", f"{last.took_s * 1000:.1f} ms"))
    show.as_table(("", ""), facts, title=last.device)
    for table in last.tables:
        before = earlier(looks, table)
        columns = [
            "row",
            *_labels(table.layout),
            *(f"→{c}" for c in _columns(table.layout, before)),
        ]
        _print_table(table.layout.table, columns, list(_rows(table, before, looks)))
    for column, reason in sorted(last.errors.items()):
        show.warn(f"{column}: {reason}")


def _print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the columns that say something; name those with nothing but zeros."""
    said = [i for i, _ in enumerate(columns) if any(row[i] not in ("", "0") for row in rows)]
    print()
    kept = ([row[i] for i in said] for row in rows)
    show.as_table([columns[i] for i in said], kept, title=title, none=f"{title}: no rows")
    zeros = [
        columns[i].removeprefix("→").split()[0] for i, _ in enumerate(columns) if i not in said
    ]
    if zeros and rows:
        print(f"nothing or 0 in every row: {', '.join(zeros)}")


def _labels(layout: Layout) -> list[str]:
    """Return the labels that say more than the row's name does."""
    return sorted(name for name, texts in layout.labels.items() if texts != layout.rows)


def earlier(looks: Sequence[Batch], table: Table) -> Table | None:
    """Return the same rows of the look before, None where rates cannot be had of the two."""
    if len(looks) < 2:
        return None
    first, last = looks[0], looks[-1]
    if rates.restarted(first.clocks, last.clocks, last.mono_s - first.mono_s) != "none":
        return None
    for before in first.tables:
        same = before.layout is table.layout
        if same or (before.layout.table, before.layout.rows) == (
            table.layout.table,
            table.layout.rows,
        ):
            return before
    return None


def _columns(layout: Layout, before: Table | None) -> list[str]:
    counters = [f"{name} {_counter_unit(name, before)}" for name in layout.counters]
    gauges = [f"{name} {UNITS.get(name, '')}".rstrip() for name in layout.gauges]
    return counters + gauges


def _counter_unit(name: str, before: Table | None) -> str:
    octets = "Octets" in name
    if before is None:
        return "octets" if octets else "total"
    return "bit/s" if octets else "/s"


def _rows(table: Table, before: Table | None, looks: Sequence[Batch]) -> Iterator[list[object]]:
    layout = table.layout
    rate = _rates(table, before, looks)
    labels = _labels(layout)
    for i, row in enumerate(layout.rows):
        cells: list[object] = [row, *(layout.labels[name][i] for name in labels)]
        for c, name in enumerate(layout.counters):
            if rate is not None:
                bits = rate[c, i] * (8 if "Octets" in name else 1)
                cells.append("" if math.isnan(bits) else f"{bits:,.0f}")
            else:
                absent = table.missing is not None and bool(table.missing[c, i])
                cells.append("" if absent else f"{int(table.counters[c, i]):,}")
        cells += [_gauge(name, float(table.gauges[g, i])) for g, name in enumerate(layout.gauges)]
        yield cells


def _gauge(name: str, value: float) -> str:
    if math.isnan(value):
        return ""
    if name in STATES:
        return STATES[name].get(int(value), f"{value:g}")
    if name in TICKS:
        return show.duration(value / 100)
    return f"{value:g}"


def _rates(table: Table, before: Table | None, looks: Sequence[Batch]) -> Any:
    """Return increases a second, shape (counters, rows), NaN where the two looks give none."""
    if before is None:
        return None
    elapsed = looks[-1].mono_s - looks[0].mono_s
    plan = rates.CounterPlan.of(table.layout)
    grown = rates.deltas(plan, before, table, elapsed)
    return np.where(grown.valid, grown.grown / elapsed, math.nan)


def plain(looks: Sequence[Batch]) -> dict[str, Any]:
    """Return the latest look for programs. Counters are text: JSON's numbers end at 2^53."""
    last = looks[-1]
    return {
        "device": last.device,
        "at": last.at.isoformat(),
        "took_s": round(last.took_s, 6),
        "facts": dict(last.facts),
        "sys_uptime_s": (last.clocks.sys_uptime_ticks or 0) / 100,
        "tables": [_plain_table(table, looks) for table in last.tables],
        "errors": dict(last.errors),
    }


def _plain_table(table: Table, looks: Sequence[Batch]) -> dict[str, Any]:
    layout = table.layout
    rate = _rates(table, earlier(looks, table), looks)
    rows = []
    for i, row in enumerate(layout.rows):
        said: dict[str, Any] = {"row": row, "index": layout.index[i]}
        said |= {name: texts[i] for name, texts in layout.labels.items()}
        for c, name in enumerate(layout.counters):
            absent = table.missing is not None and bool(table.missing[c, i])
            said[name] = None if absent else str(int(table.counters[c, i]))
            if rate is not None:
                value = float(rate[c, i])
                said[f"{name}_per_s"] = None if math.isnan(value) else round(value, 3)
        for g, name in enumerate(layout.gauges):
            value = float(table.gauges[g, i])
            said[name] = None if math.isnan(value) else value
        rows.append(said)
    return {"table": layout.table, "rows": rows}
