"""The network's newest numbers, kept for /metrics.

`take` is on the path of every look and keeps references only; text is made when somebody asks for
it, a few hundred samples at a time. Names and labels are those of snmp_exporter, with `device` and
`site` added, so that dashboards and rules written for it keep working.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from weakref import WeakValueDictionary
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from netopsd.core.inventory import Device
from netopsd.core.model import Batch, Blind, Sweep, Table
from netopsd.ports import Clock
from netopsd.web.labelled import Labelled, build
from netopsd.web.scrape import Ready, Scrape

CHUNK = 64 * 1024  # characters sent at once
PAUSE_AFTER = 4096  # samples rendered between two turns of the event loop: 2 ms or so
PER_TABLE = 16  # looking at a table costs about as much as this many samples
INTERVALS = 3  # a table not read for this many of its intervals is not shown


Share = tuple[int, int]  # (2, 8): the second of eight; a device is in one by its name alone
WHOLE: Share = (1, 1)


@dataclass(slots=True)
class _Held:
    """The newest look at one table of one device."""

    table: Table
    mono_s: float
    page: Labelled | None = None


@dataclass(slots=True)
class _Source:
    """What one collector saw of one device last."""

    mono_s: float
    blind: bool = False
    uptime_ticks: int | None = None
    tables: dict[str, _Held] = field(default_factory=dict)
    swept: tuple[Sweep, int] | None = None  # the newest look, where it is part of a sweep
    together: _Together | None = None  # whose sweeps tell of it, at `place`
    place: int = 0

    def notice(self) -> None:
        """Take note of the newest sweep that tells of it."""
        known, i = self.together, self.place
        if known is not None and known.left[i]:
            known.left[i] = False
            self.swept = (known.sweep, i)
            self.mono_s = known.mono_s
            self.blind = False

    def catch_up(self) -> None:
        """Take the tables out of the sweep that brought them."""
        self.notice()
        if self.swept is None:
            return
        (sweep, i), self.swept = self.swept, None
        numbers = sweep.fleet.numbers(i, sweep.numbers)
        self.uptime_ticks = sweep.fleet.clocks_of(i, sweep.numbers).sys_uptime_ticks
        for part in sweep.fleet.members[i].parts:
            self.keep(part.table(numbers), self.mono_s)

    def keep(self, table: Table, mono_s: float) -> None:
        """Keep the newest look at one table."""
        held = self.tables.get(table.layout.table)
        if held is None:
            self.tables[table.layout.table] = _Held(table, mono_s)
        else:
            held.table, held.mono_s = table, mono_s


@dataclass(slots=True, eq=False, weakref_slot=True)
class _Together:
    """The newest sweep of a fleet. Who is `left` has not taken note of it; of those `apart` nobody
    looks at what sweeps tell: they gave no answer since."""

    devices: Mapping[str, Device]
    sources: list[_Source | None]
    sweep: Sweep
    mono_s: float
    left: NDArray[np.bool_]
    apart: NDArray[np.bool_]


@dataclass(slots=True)
class _Seen:
    device: Device
    sources: dict[str, _Source] = field(default_factory=dict)


class Series:
    """The newest looks, and the text made of them.

    A device that does not answer has no series but `netopsd_device_up 0`, as with snmp_exporter. A
    table not read again within three of its intervals (`every_s` by table name, else the device's
    interval; never less than `stale_s` seconds) is not shown either: no number is older than it
    seems. A device nobody looks at any more has no `netopsd_device_up`: we do not know.
    """

    def __init__(
        self,
        clock: Clock,
        help: Mapping[str, str] | None = None,
        *,
        every_s: Mapping[str, float] | None = None,
        stale_s: float = 30.0,
    ) -> None:
        self._clock = clock
        self._help = dict(help or {})
        self._every_s = dict(every_s or {})
        self._stale_s = stale_s
        self._seen: dict[str, _Seen] = {}
        self._fleets: WeakValueDictionary[int, _Together] = WeakValueDictionary()
        self._told: dict[Share, tuple[int, int]] = {}  # series and hidden rows, latest scrapes

    def take(self, batch: Batch, device: Device) -> None:
        """Keep the newest look. Cheap: references only, no number is touched."""
        if batch.blind is Blind.SKIPPED:  # says nothing about the device
            return
        now = self._clock.mono_s()
        source = self._source(device, batch.source)
        source.catch_up()
        source.mono_s = now
        source.blind = batch.blind is not None
        if source.blind:
            if source.together is not None:  # what is dead keeps no sweep in memory
                source.together.apart[source.place] = True
                source.together = None
            return
        source.uptime_ticks = batch.clocks.sys_uptime_ticks
        for table in batch.tables:
            source.keep(table, now)

    def take_sweep(self, sweep: Sweep, devices: Mapping[str, Device]) -> None:
        """Keep the newest looks at many devices: no work per device, until somebody asks."""
        known = self._fleets.get(id(sweep.fleet))
        if known is None or known.devices is not devices or known.sweep.fleet is not sweep.fleet:
            known = self._fleets[id(sweep.fleet)] = self._enlist(sweep, devices)
        for i in np.flatnonzero(known.apart & sweep.present).tolist():
            self._join(known, i)
        for i in np.flatnonzero(known.left & ~sweep.present).tolist():
            if (source := known.sources[i]) is not None:
                source.notice()
        known.sweep, known.mono_s = sweep, self._clock.mono_s()
        known.left = sweep.present.copy()

    def _enlist(self, sweep: Sweep, devices: Mapping[str, Device]) -> _Together:
        count = len(sweep.fleet.names)
        nobody = np.zeros(count, np.bool_)
        made = _Together(devices, [None] * count, sweep, 0.0, nobody, nobody.copy())
        for i in range(count):
            self._join(made, i)
        return made

    def _join(self, known: _Together, i: int) -> None:
        """Let member `i` be told of by these sweeps from now on."""
        known.apart[i] = False
        device = known.devices.get(known.sweep.fleet.names[i])
        if device is None:
            return
        source = known.sources[i] = self._source(device, known.sweep.source)
        source.notice()
        if source.together is not None:
            source.together.apart[source.place] = True
        source.together, source.place = known, i

    def _source(self, device: Device, name: str) -> _Source:
        """Return what is kept of a device and source; new where it is."""
        seen = self._seen.get(device.name)
        if seen is None:
            seen = self._seen[device.name] = _Seen(device)
        seen.device = device
        source = seen.sources.get(name)
        if source is None:
            source = seen.sources[name] = _Source(float("-inf"))
        return source

    def describe(self, help: Mapping[str, str], every_s: Mapping[str, float]) -> None:
        """Use these HELP texts and intervals from now on: the tables were configured anew."""
        self._help = dict(help)
        self._every_s = dict(every_s)

    def retain(self, devices: Collection[str]) -> None:
        """Forget every device that is not in `devices`."""
        for name in [name for name in self._seen if name not in devices]:
            del self._seen[name]
        self._fleets.clear()  # their sources would hold the fleets

    @property
    def shown(self) -> int:
        """Return how many series the latest complete scrape had, or those of all shares."""
        return sum(series for series, _ in self._told.values())

    @property
    def hidden(self) -> int:
        """Return how many rows were left out of it because their table is too long."""
        return sum(hidden for _, hidden in self._told.values())

    async def chunks(self, share: Share = WHOLE) -> AsyncIterator[bytes]:
        """Yield the text of all series, or of one share of the devices.

        The event loop gets its turn every few milliseconds.
        """
        scrape = Scrape(self._help)
        parts: list[str] = []
        size = done = 0
        for piece, cost in self._pieces(scrape, share):
            parts.append(piece)
            size += len(piece)
            done += cost
            if size >= CHUNK:
                yield "".join(parts).encode("utf-8", "replace")
                parts.clear()
                size = 0
            if done >= PAUSE_AFTER:
                done = 0
                await self._clock.sleep(0)
        if parts:
            yield "".join(parts).encode("utf-8", "replace")
        if any(one[1] != share[1] for one in self._told):  # cut otherwise before
            self._told.clear()
        self._told[share] = (scrape.series, scrape.hidden)

    def _pieces(self, scrape: Scrape, share: Share) -> Iterator[tuple[str, int]]:
        for cost in self._gather(scrape, share):
            yield "", cost
        yield from scrape.render()

    def _gather(self, scrape: Scrape, share: Share) -> Iterator[int]:
        """Put every device's fresh tables into `scrape`; yields the cost of each step."""
        now = self._clock.mono_s()
        for seen in list(self._seen.values()):
            device = seen.device
            if share != WHOLE and crc32(device.name.encode()) % share[1] != share[0] - 1:
                continue
            for look in seen.sources.values():
                look.notice()
            fresh = [
                look
                for look in seen.sources.values()
                if now - look.mono_s <= self._bound(device.interval_s)
            ]
            if not fresh:
                continue
            answering = [look for look in fresh if not look.blind]
            for look in answering:
                look.catch_up()
            scrape.up.append((device, 1 if answering else 0))
            clocks = [look.uptime_ticks for look in answering]
            scrape.uptime += [(device, ticks) for ticks in clocks if ticks is not None][:1]
            told: set[str] = set()  # a device watched by two collectors shows nothing twice
            for name, held in [pair for look in answering for pair in look.tables.items()]:
                every_s = max(device.interval_s, self._every_s.get(name, 0.0))
                if name not in told and now - held.mono_s <= self._bound(every_s):
                    told.add(name)
                    yield from self._ready(scrape, held, device)

    def _ready(self, scrape: Scrape, held: _Held, device: Device) -> Iterator[int]:
        table, page = held.table, held.page
        if page is None or page.layout is not table.layout or page.site != device.site:
            page = held.page = yield from build(table.layout, device.name, device.site)
        scrape.add(Ready.of(device.name, page, table))
        yield PER_TABLE

    def _bound(self, interval_s: float) -> float:
        return max(self._stale_s, INTERVALS * interval_s)
