"""One scrape: references taken at its start, rendered family by family.

The text format wants all samples of a metric in one group, while looks come device by device: so
tables of one shape (same columns) are grouped first, then every column is written for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netopsd.core.inventory import Device
from netopsd.core.model import Table
from netopsd.web.exposition import header, label_value, metric_name
from netopsd.web.labelled import BLOCK, Labelled, fill, fill_some

EXACT = float(2**53)  # whole numbers up to here are exact as float64

_INFINITE: dict[float, Any] = {float("inf"): "+Inf", float("-inf"): "-Inf"}
_UPTIME = "sysUpTime"
_UPTIME_HELP = (
    "The time (in hundredths of a second) since the network management portion of the system was "
    "last re-initialized. - 1.3.6.1.2.1.1.3"
)


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """One look at one table with its page."""

    device: str
    page: Labelled
    table: Table
    whole: NDArray[np.int64] | None  # the gauges where every one is a whole number
    holes: NDArray[np.bool_] | None  # gauge columns with absent rows; None: no column has any

    @staticmethod
    def of(device: str, page: Labelled, table: Table) -> Ready:
        """Return the table with its gauges judged once for all columns."""
        gauges = table.gauges
        if not gauges.size:
            return Ready(device, page, table, None, None)
        absent = np.isnan(gauges)
        holes: NDArray[np.bool_] | None = np.any(absent, axis=1) if absent.any() else None
        solid = np.where(absent, 0.0, gauges) if holes is not None else gauges
        if np.abs(solid).max() < EXACT:
            whole = solid.astype(np.int64)
            if (whole == solid).all():
                return Ready(device, page, table, whole, holes)
        return Ready(device, page, table, None, holes)


Told = dict[str, list[Labelled]]  # pages of one family that were written, by device


@dataclass(frozen=True, slots=True)
class _Column:
    """Where one metric is found: which tables, which column."""

    tables: list[Ready]
    table: str
    name: str
    at: int
    counter: bool


@dataclass(slots=True)
class Scrape:
    """What one scrape shows."""

    help: Mapping[str, str]
    up: list[tuple[Device, int]] = field(default_factory=list)
    uptime: list[tuple[Device, int]] = field(default_factory=list)
    series: int = 0
    hidden: int = 0  # rows of tables that are too long
    _tables: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[Ready]] = field(
        default_factory=dict
    )

    def add(self, ready: Ready) -> None:
        layout = ready.page.layout
        shape = (layout.table, layout.counters, layout.gauges)
        self._tables.setdefault(shape, []).append(ready)
        self.hidden += ready.page.hidden

    def render(self) -> Iterator[tuple[str, int]]:
        """Yield (text, samples in it), each at most BLOCK samples."""
        yield header("netopsd_device_up", "1 while the device answers, 0 while not.", "gauge"), 1
        yield from self._per_device("netopsd_device_up", self.up)
        families = self._families()
        for name in sorted({*families, _UPTIME} if self.uptime else families):
            columns = families.get(name, [])
            yield self._header(name, columns), 1
            alone = len(columns) == len({id(column.tables) for column in columns})
            alone = alone and len({column.table for column in columns}) == 1
            told: Told | None = None if alone and name != _UPTIME else {}
            for column in columns:
                yield from self._column(name, column, told)
            if name == _UPTIME:
                rest = [(d, ticks) for d, ticks in self.uptime if not told or d.name not in told]
                yield from self._per_device(name, rest)

    def _families(self) -> dict[str, list[_Column]]:
        families: dict[str, list[_Column]] = {}
        for (table, counters, gauges), tables in self._tables.items():
            for names, counter in ((counters, True), (gauges, False)):
                for at, name in enumerate(names):
                    families.setdefault(metric_name(name), []).append(
                        _Column(tables, table, name, at, counter)
                    )
        return families

    def _header(self, name: str, columns: list[_Column]) -> str:
        if not columns:
            return header(name, self.help.get(name) or _UPTIME_HELP, "gauge")
        first = columns[0]
        text = self.help.get(first.name) or f"Column {first.name} of table {first.table}."
        return header(name, text, "counter" if first.counter else "gauge")

    def _column(self, name: str, column: _Column, told: Told | None) -> Iterator[tuple[str, int]]:
        """Yield one column of many devices; `told` keeps any two from telling a series twice."""
        at = column.at
        for ready in column.tables:
            new = None
            if told is not None:
                before = told.setdefault(ready.device, [])
                new = _new(ready.page, before)
                before.append(ready.page)
            values, wanted = _counters(ready, at) if column.counter else _gauges(ready, at)
            if new is not None:
                wanted = new if wanted is None else wanted & new
            for number, block in enumerate(ready.page.blocks):
                start = number * BLOCK
                some = values[start : start + BLOCK] if len(values) > BLOCK else values
                count = len(some)
                if wanted is None:
                    text = fill(block, name, some)
                else:
                    chosen = wanted[start : start + BLOCK]
                    text = fill_some(block, name, some, chosen)
                    count = int(np.count_nonzero(chosen))
                self.series += count
                yield text, len(some)

    def _per_device(self, name: str, values: list[tuple[Device, int]]) -> Iterator[tuple[str, int]]:
        for start in range(0, len(values), BLOCK):
            lines = [
                f'{name}{{device="{label_value(device.name)}",site="{label_value(device.site)}"}}'
                f" {value}\n"
                for device, value in values[start : start + BLOCK]
            ]
            self.series += len(lines)
            yield "".join(lines), 4 * len(lines)


def _new(page: Labelled, before: Sequence[Labelled]) -> NDArray[np.bool_] | None:
    """Return which rows of a page are series of their own beside those before; None: all."""
    new = None
    for other in before:
        mask = page.beside(other)
        new = mask if new is None else new & mask
    return None if new is None or new.all() else new


def _counters(ready: Ready, at: int) -> tuple[list[Any], NDArray[np.bool_] | None]:
    rows = ready.page.rows
    values = ready.table.counters[at, :rows].tolist()
    missing = ready.table.missing
    if missing is None or not missing[at, :rows].any():
        return values, None
    return values, ~missing[at, :rows]


def _gauges(ready: Ready, at: int) -> tuple[list[Any], NDArray[np.bool_] | None]:
    rows = ready.page.rows
    gauges = ready.table.gauges
    source = ready.whole if ready.whole is not None else gauges
    values = source[at, :rows].tolist()
    if ready.whole is None and not np.isfinite(gauges[at, :rows]).all():
        values = [_INFINITE.get(value, value) for value in values]
    if ready.holes is None or not ready.holes[at]:
        return values, None
    return values, ~np.isnan(gauges[at, :rows])
