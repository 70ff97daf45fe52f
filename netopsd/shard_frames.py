"""What a polling process and the daemon say to each other: frames of length, head and columns.

A frame is four octets of length (big-endian), then a JSON head of four octets of length, then the
numbers of its tables as they lie in memory. A layout travels when it is new and is shared by
identity afterwards, as everywhere. The daemon's own orders (with secrets) are pickled; what comes
back from a process that reads the network's octets never is.
"""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from collectors.snmp_poll.settings import SnmpPollSettings, TableSpec, Target
from collectors.snmp_poll.stats import Stats
from netopsd.core.model import Batch, Blind, Clocks, Layout, Sweep, Table
from netopsd.errors import CannotLook
from netopsd.ports import Clock
from netopsd.shard_fleets import FleetReader, FleetTeller

_dumps = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False).encode
SETUP, ASK, SWEEP = b"S", b"A", b"W"
LONGEST = 256 * 2**20  # octets of a frame: 10,000 devices' targets, or a table of a million rows


@dataclass(frozen=True, slots=True)
class Setup:
    """What one poller is to know."""

    settings: SnmpPollSettings
    tables: dict[str, TableSpec]
    targets: dict[str, Target]


@dataclass(frozen=True, slots=True)
class Ask:
    """Look at `device`; answer with `number`."""

    number: int
    device: str


@dataclass(frozen=True, slots=True)
class AskMany:
    """Look at `devices` together, but for those `under_way`; answer with `number` until all are
    told of."""

    number: int
    devices: tuple[str, ...]
    under_way: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A look, why there is none, many looks, or what was counted.

    `apart` are devices of a sweep to be looked at by themselves; `over` ends it.
    """

    number: int = 0
    look: Batch | CannotLook | None = None
    sweep: Sweep | None = None
    apart: tuple[str, ...] = ()
    over: bool = False
    stats: Stats | None = None


def _framed(*parts: bytes) -> bytes:
    return b"".join((sum(map(len, parts)).to_bytes(4, "big"), *parts))


async def read(source: asyncio.StreamReader) -> bytes:
    """Return the next frame, b"" at the end. Raises ValueError for one that is too long."""
    try:
        size = int.from_bytes(await source.readexactly(4), "big")
        if size > LONGEST:
            raise ValueError(f"a frame of {size} octets")
        return await source.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


# What the daemon says.


def setup(what: Setup) -> bytes:
    return _framed(SETUP, pickle.dumps(what))


def ask(number: int, device: str) -> bytes:
    return _framed(ASK, number.to_bytes(8, "big"), device.encode())


def ask_many(number: int, devices: tuple[str, ...], under_way: tuple[str, ...]) -> bytes:
    return _framed(SWEEP, number.to_bytes(8, "big"), _dumps([devices, under_way]).encode())


def told(frame: bytes) -> Ask | AskMany | Setup:
    """Return what the daemon, our parent, wants."""
    if frame[:1] == SWEEP:
        devices, under_way = json.loads(frame[9:])
        return AskMany(int.from_bytes(frame[1:9], "big"), tuple(devices), frozenset(under_way))
    if frame[:1] == ASK:
        return Ask(int.from_bytes(frame[1:9], "big"), frame[9:].decode())
    found = pickle.loads(frame[1:])  # noqa: S301  (written by our parent, into our standard input)
    assert isinstance(found, Setup)
    return found


# What a shard says.


class Teller:
    """Turns looks into frames; remembers which layouts and facts were told."""

    def __init__(self) -> None:
        self._layouts: dict[tuple[str, str], Layout] = {}
        self._facts: dict[str, Mapping[str, str]] = {}
        self._fleets = FleetTeller(self._layout)

    def stats(self, stats: Stats) -> bytes:
        return _said({"stats": asdict(stats)})

    def look(self, number: int, look: Batch | CannotLook) -> bytes:
        """Return the frame that answers request `number`."""
        if isinstance(look, CannotLook):
            return _said({"n": number, "d": look.device, "why": look.why, "detail": look.detail})
        columns: list[bytes] = []
        head: dict[str, Any] = {
            "n": number, "d": look.device, "mono_s": look.mono_s, "took_s": look.took_s,
            "tables": [self._table(look.device, table, columns) for table in look.tables],
        }  # fmt: skip
        clocks = look.clocks
        told = (clocks.sys_uptime_ticks, clocks.hr_uptime_ticks)
        head["clocks"] = (*told, clocks.engine_boots, clocks.engine_time_s)
        if look.errors:
            head["errors"] = dict(look.errors)
        if self._facts.get(look.device) is not look.facts:
            self._facts[look.device] = look.facts
            head["facts"] = dict(look.facts)
        return _said(head, *columns)

    def sweep(self, number: int, sweep: Sweep) -> bytes:
        """Return the frame of many looks."""
        head = {
            "n": number, "mono_s": sweep.mono_s, "source": sweep.source,
            "sweep": self._fleets.tell(sweep.fleet),
        }  # fmt: skip
        columns = (sweep.numbers, sweep.when_s, sweep.took_s, sweep.present)
        return _said(head, *(column.tobytes() for column in columns))

    def apart(self, number: int, device: str) -> bytes:
        """Return the frame that names a device to be looked at by itself."""
        return _said({"n": number, "apart": [device]})

    def over(self, number: int) -> bytes:
        """Return the frame that ends a sweep."""
        return _said({"n": number, "over": True})

    def _layout(self, device: str, layout: Layout) -> dict[str, Any] | None:
        """Return what a layout is, None where that was told."""
        key = (device, layout.table)
        if self._layouts.get(key) is layout:
            return None
        self._layouts[key] = layout
        return {**asdict(layout), "labels": dict(layout.labels)}

    def _table(self, device: str, table: Table, columns: list[bytes]) -> dict[str, Any]:
        layout = table.layout
        columns += (table.counters.tobytes(), table.gauges.tobytes())
        if table.missing is not None:
            columns.append(table.missing.tobytes())
        told: dict[str, Any] = {"t": layout.table, "missing": table.missing is not None}
        if (defined := self._layout(device, layout)) is not None:
            told["layout"] = defined
        return told


def _said(head: Mapping[str, Any], *columns: bytes) -> bytes:
    text = _dumps(head).encode("ascii")
    text += b" " * (-(4 + len(text)) % 8)  # the numbers stand where they can be read in place
    return _framed(len(text).to_bytes(4, "big"), text, *columns)


class Reader:
    """Turns one shard's frames into looks. Wall times are those of our own clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._layouts: dict[tuple[str, str], Layout] = {}
        self._facts: dict[str, Mapping[str, str]] = {}
        self._fleets = FleetReader(self._read_layout)

    def said(self, frame: bytes) -> Said:
        """Return what a frame says. ValueError, KeyError or TypeError where it is none of ours."""
        size = int.from_bytes(frame[:4], "big")
        head = json.loads(frame[4 : 4 + size])
        if "stats" in head:
            return Said(stats=Stats(**head["stats"]))
        if "sweep" in head:
            return Said(number=head["n"], sweep=self._sweep(head, frame, 4 + size))
        if "d" not in head:
            return Said(number=head["n"], apart=tuple(head.get("apart", ())), over="over" in head)
        device = head["d"]
        if "why" in head:
            look = CannotLook(device, Blind(head["why"]), head["detail"])
            return Said(number=head["n"], look=look)
        return Said(number=head["n"], look=self._batch(device, head, frame, 4 + size))

    def _sweep(self, head: Mapping[str, Any], frame: bytes, at: int) -> Sweep:
        fleet = self._fleets.read(head["sweep"])
        count = len(fleet.names)
        numbers = np.frombuffer(frame, np.uint64, fleet.size, at)
        at += numbers.nbytes
        when_s, took_s = np.frombuffer(frame, np.float64, 2 * count, at).reshape(2, count)
        present = np.frombuffer(frame, np.bool_, count, at + 16 * count)
        ago = timedelta(seconds=self._clock.mono_s() - head["mono_s"])
        return Sweep(
            at=self._clock.now() - ago,
            mono_s=head["mono_s"],
            fleet=fleet,
            present=present,
            when_s=when_s,
            took_s=took_s,
            numbers=numbers,
            source=head["source"],
        )

    def _read_layout(self, device: str, table: str, told: Mapping[str, Any] | None) -> Layout:
        if told is not None:
            self._layouts[device, table] = _layout(told)
        return self._layouts[device, table]

    def _batch(self, device: str, head: Mapping[str, Any], frame: bytes, at: int) -> Batch:
        tables = []
        for told in head["tables"]:
            table, at = self._table(device, told, frame, at)
            tables.append(table)
        if "facts" in head:
            self._facts[device] = head["facts"]
        uptime, hr_uptime, boots, engine_time = head["clocks"]
        ago = timedelta(seconds=self._clock.mono_s() - head["mono_s"])
        return Batch(
            device=device,
            at=self._clock.now() - ago,
            mono_s=head["mono_s"],
            took_s=head["took_s"],
            tables=tuple(tables),
            clocks=Clocks(
                sys_uptime_ticks=uptime,
                hr_uptime_ticks=hr_uptime,
                engine_boots=boots,
                engine_time_s=engine_time,
            ),
            facts=self._facts.get(device, {}),
            errors=head.get("errors", {}),
        )

    def _table(
        self, device: str, told: Mapping[str, Any], frame: bytes, at: int
    ) -> tuple[Table, int]:
        layout = self._read_layout(device, told["t"], told.get("layout"))
        rows, shapes = len(layout.rows), (len(layout.counters), len(layout.gauges))
        counters = np.frombuffer(frame, np.uint64, shapes[0] * rows, at).reshape(shapes[0], rows)
        at += counters.nbytes
        gauges = np.frombuffer(frame, np.float64, shapes[1] * rows, at).reshape(shapes[1], rows)
        at += gauges.nbytes
        missing = None
        if told["missing"]:
            missing = np.frombuffer(frame, np.bool_, counters.size, at).reshape(counters.shape)
            at += missing.nbytes
        return Table(layout, counters, gauges, missing), at


def _layout(told: Mapping[str, Any]) -> Layout:
    return Layout(
        table=told["table"],
        rows=tuple(told["rows"]),
        index=tuple(told["index"]),
        labels={name: tuple(texts) for name, texts in told["labels"].items()},
        counters=tuple(told["counters"]),
        widths=tuple(told["widths"]),
        gauges=tuple(told["gauges"]),
        epoch=told["epoch"],
    )
