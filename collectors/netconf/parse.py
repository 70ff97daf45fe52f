"""Replies to tables, facts and clocks. No network here: feed it what a device once said.

A `Collector` takes the rows of a reply one at a time, as they end; what is kept of a row is the
texts of the wanted leaves. `results` makes arrays of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from collectors.netconf.document import Element
from collectors.netconf.errors import TooBig
from collectors.netconf.views import (
    COUNTERS,
    ColumnSpec,
    Plan,
    TablePlan,
    Trie,
    strip_prefix,
)
from netopsd.core.model import Clocks, Kind, Layout, Table

MAX_ROWS = 100_000
MAX_TEXT = 1024
ABSENT = "absent"
TICKS = 1 << 32
WIDTHS = {Kind.COUNTER32: 32, Kind.COUNTER64: 64}

Row = tuple[str | None, ...]  # of texts only, so the garbage collector forgets it


@dataclass(slots=True)
class Layouts:
    """The layouts of one device, kept so that equal looks share one by identity."""

    known: dict[str, Layout] = field(default_factory=dict)
    epoch: int = 0

    def keep(self, plan: TablePlan, rows: list[Row], names: tuple[str, ...]) -> Layout:
        """Return the layout of `rows`: the known one where nothing changed, else a new epoch."""
        spec = plan.spec
        index = tuple(_text(row, plan.index) or name for row, name in zip(rows, names, strict=True))
        labels = {
            label: tuple(_first(row, slots) for row in rows)
            for label, slots in zip(spec.labels, plan.labels, strict=True)
        }
        known = self.known.get(spec.name)
        if known is not None and (known.rows, known.index, known.labels) == (names, index, labels):
            return known
        self.epoch += 1
        counters = [column for column in spec.column if column.kind in COUNTERS]
        layout = self.known[spec.name] = Layout(
            table=spec.name,
            rows=names,
            index=index,
            labels=labels,
            counters=tuple(column.name for column in counters),
            widths=tuple(WIDTHS[column.kind] for column in counters),
            gauges=tuple(c.name for c in spec.column if c.kind not in COUNTERS),
            epoch=self.epoch,
        )
        return layout


class Collector:
    """Takes the rows of the reply to one view."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rows: list[list[Row]] = [[] for _ in plan.tables]
        self._parents: list[Element | None] = [None for _ in plan.tables]
        self.errors: dict[str, str] = {}

    @property
    def rows(self) -> int:
        """How many rows were taken so far."""
        return sum(map(len, self._rows))

    def take(self, element: Element) -> None:
        """Take a row that has ended; elements that are rows of no table are passed over."""
        for number, table in enumerate(self._plan.tables):
            if element.tag == table.tag and self._is_row(number, table, element):
                texts: list[str | None] = [None] * table.slots
                _fill(element, table.trie, texts)
                if table.where < 0 or texts[table.where] is not None:
                    self._rows[number].append(tuple(texts))
                    if len(self._rows[number]) > MAX_ROWS:
                        raise TooBig(f"over {MAX_ROWS} rows in table {table.spec.name}")

    def facts(self, root: Element) -> dict[str, str]:
        """Return the facts of the reply."""
        texts = {name: _leaf(root, path) for name, path in self._plan.facts.items()}
        return {name: text[:MAX_TEXT] for name, text in texts.items() if text}

    def clocks(self, root: Element) -> Clocks | None:
        """Return the device's own uptime where the view asks for it and the reply has it."""
        if not self._plan.boot:
            return None
        boot = moment(_leaf(root, self._plan.boot))
        now = moment(_leaf(root, self._plan.now))
        if boot is None or now is None or now < boot:
            return None
        return Clocks(hr_uptime_ticks=round((now - boot).total_seconds() * 100) % TICKS)

    def tables(self, layouts: Layouts) -> tuple[Table, ...]:
        """Return the tables that have rows; what could not be read is in `errors`."""
        pairs = zip(self._plan.tables, self._rows, strict=True)
        return tuple(self._table(plan, rows, layouts) for plan, rows in pairs if rows)

    def _is_row(self, number: int, table: TablePlan, element: Element) -> bool:
        parent = element.getparent()
        if parent is self._parents[number]:
            return True
        if path_above(parent) != table.above:
            return False
        self._parents[number] = parent
        return True

    def _table(self, plan: TablePlan, rows: list[Row], layouts: Layouts) -> Table:
        rows, names = self._named(plan, rows)
        layout = layouts.keep(plan, rows, names)
        counters = np.zeros((len(layout.counters), len(rows)), dtype=np.uint64)
        missing = np.zeros(counters.shape, dtype=np.bool_)
        gauges = np.full((len(layout.gauges), len(rows)), np.nan)
        at = dict.fromkeys(("counter", "gauge"), 0)
        for column, slot in zip(plan.spec.column, plan.columns, strict=True):
            texts = [row[slot] for row in rows]
            if column.kind in COUNTERS:
                line = at["counter"]
                bad = _counters(texts, WIDTHS[column.kind], counters[line], missing[line])
                at["counter"] += 1
            else:
                bad = _gauges(texts, column, gauges[at["gauge"]])
                at["gauge"] += 1
            if bad is not None and not (bad == ABSENT and column.optional):
                self.errors[f"{plan.spec.name}.{column.name}"] = bad
        return Table(layout, counters, gauges, missing if missing.any() else None)

    def _named(self, plan: TablePlan, rows: list[Row]) -> tuple[list[Row], tuple[str, ...]]:
        """Return the rows with a name of their own; the first of a name counts."""
        named: dict[str, Row] = {}
        lost = 0
        for row in rows:
            keys = [(row[slot] or "").strip() for slot in plan.key]
            name = "|".join(keys)[:MAX_TEXT]
            if not any(keys) or name in named:
                lost += 1
            else:
                named[name] = row
        if lost:
            self.errors[plan.spec.name] = f"{lost} rows without a name of their own"
        return list(named.values()), tuple(named)


def path_above(element: Element | None) -> tuple[str, ...]:
    """Return the tags from below the data element down to `element`."""
    tags: list[str] = []
    while element is not None:
        tags.append(element.tag)
        element = element.getparent()
    return tuple(reversed(tags[:-2]))  # without rpc-reply and data


def _fill(element: Element, trie: Trie, row: list[str | None]) -> None:
    for child in element:
        wanted = trie.get(child.tag)
        if wanted is None:
            continue
        if wanted.__class__ is int:
            if row[wanted] is None:
                row[wanted] = child.text or ""
        else:
            _fill(child, wanted, row)


def _text(row: Row, slot: int) -> str:
    return "" if slot < 0 else (row[slot] or "").strip()[:MAX_TEXT]


def _first(row: Row, slots: tuple[int, ...]) -> str:
    return next((text for slot in slots if (text := _text(row, slot))), "")


def _leaf(root: Element, path: str) -> str:
    for data in root:
        text = data.findtext(path)
        if text:
            return str(text).strip()
    return ""


def _counters(
    texts: Sequence[str | None], width: int, into: NDArray[np.uint64], missing: NDArray[np.bool_]
) -> str | None:
    """Put counters into a line of the table; return why some could not be read."""
    bad: str | None = None
    for position, text in enumerate(texts):
        number = -1
        if text is not None:
            digits = text.strip()
            if digits.isascii() and digits.isdigit() and len(digits) <= 20:
                number = int(digits)
            if not 0 <= number < 1 << width:
                bad, number = bad or f"not a counter of {width} bits: {text[:32]!r}", -1
        if number < 0:
            missing[position] = True
        else:
            into[position] = number
    return bad or (ABSENT if missing.all() and len(texts) else None)


def _gauges(
    texts: Sequence[str | None], column: ColumnSpec, into: NDArray[np.float64]
) -> str | None:
    """Put numbers into a line of the table; return why some could not be read."""
    bad: str | None = None
    for position, text in enumerate(texts):
        if text is not None:
            number = _number(text, column)
            if number is None:
                bad = bad or f"cannot be read: {text[:32]!r}"
            else:
                into[position] = number
    return bad or (ABSENT if len(texts) and all(text is None for text in texts) else None)


def _number(text: str, column: ColumnSpec) -> float | None:
    if column.values:
        return column.values.get(strip_prefix(text))
    if column.time:
        at = moment(text)
        return None if at is None else round(at.timestamp() * 100)
    try:
        number = float(text) * column.scale
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def moment(text: str) -> datetime | None:
    """Return a YANG date-and-time (RFC 6991) as aware UTC; None where it is none."""
    try:
        at = datetime.fromisoformat(text.strip())
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
