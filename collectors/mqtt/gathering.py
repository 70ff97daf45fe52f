"""Readings into looks: rows and columns that keep their shape share one layout by identity."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import numpy as np

from collectors.mqtt.bounded import BadPayload
from collectors.mqtt.rules import Numbers
from collectors.mqtt.settings import TopicRule
from netopsd.core.model import Batch, Layout, Table

_Key = tuple[str, str]  # device, table


class _Held:
    """The rows of one table of one device, as far as they have been heard of."""

    def __init__(self, counters: tuple[tuple[str, int], ...], gauges: tuple[str, ...]) -> None:
        self.counters = counters
        self.gauges = gauges
        self.rows: dict[str, dict[str, float | int]] = {}
        self.layout: Layout | None = None
        self.epoch = 0

    def table(self, name: str) -> Table:
        """Return what was heard since the last time; what was not is missing, not repeated."""
        rows = tuple(self.rows)
        if self.layout is None or len(self.layout.rows) != len(rows):
            self.epoch += 1
            self.layout = Layout(
                table=name,
                rows=rows,
                index=rows,
                labels={"row": rows},
                counters=tuple(column for column, _ in self.counters),
                widths=tuple(width for _, width in self.counters),
                gauges=self.gauges,
                epoch=self.epoch,
            )
        counts = np.zeros((len(self.counters), len(rows)), np.uint64)
        missing = np.ones(counts.shape, np.bool_)
        values = np.full((len(self.gauges), len(rows)), np.nan)
        for at, heard in enumerate(self.rows.values()):
            for i, (column, width) in enumerate(self.counters):
                if column in heard:
                    counts[i, at] = int(heard[column]) & ((1 << width) - 1)
                    missing[i, at] = False
            for i, column in enumerate(self.gauges):
                if column in heard:
                    values[i, at] = heard[column]
            heard.clear()
        return Table(self.layout, counts, values, missing if missing.any() else None)


class Gathering:
    """Keeps readings until `batches` makes looks of them. At most `rows` rows a table."""

    def __init__(self, rules: Iterable[TopicRule], rows: int) -> None:
        self._most = rows
        self._shapes: dict[str, tuple[dict[str, int], dict[str, None]]] = {}
        for rule in rules:
            counters, gauges = self._shapes.setdefault(rule.table, ({}, {}))
            for one in rule.reading:
                if one.counter:
                    counters[one.column] = 32 if one.kind == "counter32" else 64
                else:
                    gauges[one.column] = None
        self._held: dict[_Key, _Held] = {}
        self._fresh: dict[str, dict[str, None]] = {}  # device → tables heard of, in order

    def add(self, heard: Numbers) -> None:
        """Take readings; a later one of the same column replaces the earlier. Raises BadPayload."""
        table = heard.rule.table
        held = self._held.get((heard.device, table))
        if held is None:
            counters, gauges = self._shapes[table]
            held = _Held(tuple(counters.items()), tuple(gauges))
            self._held[heard.device, table] = held
        if heard.row not in held.rows and len(held.rows) >= self._most:
            raise BadPayload("too_many_rows", f"{heard.device} {table}")
        held.rows.setdefault(heard.row, {}).update(heard.values)
        self._fresh.setdefault(heard.device, {})[table] = None

    def batches(self, at: datetime, mono_s: float) -> list[Batch]:
        """Return one look per device that was heard of since the last time."""
        fresh, self._fresh = self._fresh, {}
        return [
            Batch(
                device=device,
                at=at,
                mono_s=mono_s,
                tables=tuple(self._held[device, table].table(table) for table in tables),
                source="mqtt",
            )
            for device, tables in fresh.items()
        ]
