"""Looks into parcels into the spool: what a collector's inbox is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from collectors.mqtt import wire
from collectors.mqtt.bounded import BadPayload
from collectors.mqtt.spool import Spool
from netopsd.core import fleet
from netopsd.core.model import Batch, Input, Layout, Sweep

log = logging.getLogger(__name__)

RAW_OCTETS = 512 * 1024  # numbers of one parcel, before compression
SPARE = 64 * 1024  # of a message, for its head and the broker's


@dataclass(slots=True, kw_only=True)
class PackingStats:
    """Since start."""

    looks: int = 0
    parcels: int = 0
    octets: int = 0  # of looks, compressed
    raw_octets: int = 0  # of their numbers
    definitions: int = 0
    too_large: int = 0  # looks that fit into no message
    lost: int = 0  # looks the disk did not take


@dataclass(frozen=True, slots=True)
class _Known:
    layout: Layout
    id: bytes
    octets: bytes


class Packing:
    """An inbox (ports.Inbox) for looks. They are in the spool `wait_s` after they came, at most.

    `packed` is called after each parcel.
    """

    def __init__(
        self, spool: Spool, packed: Callable[[], None], looks: int = 64, wait_s: float = 0.25
    ) -> None:
        self._spool = spool
        self._packed = packed
        self._most = looks
        self._wait_s = wait_s
        self._waiting: list[Batch] = []
        self._raw = 0
        self._timer: asyncio.TimerHandle | None = None
        self._known: dict[tuple[str, str], _Known] = {}  # by (device, table): the latest layout
        self._defined: set[bytes] = set()  # in this segment of the spool
        self.stats = PackingStats()

    async def put(self, said: Input) -> None:
        """Take a look, or many; anything else is a bug of ours and is refused loudly."""
        if isinstance(said, Sweep):
            for batch in fleet.batches(said):
                self._add(batch)
        elif isinstance(said, Batch):
            self._add(said)
        else:
            raise TypeError(f"a collector has no use for {type(said).__name__}")

    def _add(self, said: Batch) -> None:
        self._waiting.append(said)
        self._raw += sum(t.counters.nbytes + t.gauges.nbytes for t in said.tables)
        if len(self._waiting) >= self._most or self._raw >= RAW_OCTETS:
            self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._wait_s, self.flush)

    def offer(self, said: Input) -> bool:
        """Refuse: nobody listens for what devices say unasked here."""
        del said
        return False

    async def durable(self, said: Input) -> None:
        """As `put`, and in the spool on return."""
        await self.put(said)
        self.flush()

    def flush(self) -> None:
        """Put what waits into the spool."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batches, self._waiting, self._raw = self._waiting, [], 0
        if batches:
            self._write(batches)
            self._packed()

    def _write(self, batches: list[Batch]) -> None:
        if self._spool.fresh:
            self._defined.clear()
        fresh: dict[bytes, bytes] = {}
        ids = self._ids(batches, fresh)
        definitions = wire.pack_definitions(fresh.items())
        defined = sum(20 + len(octets) for octets in fresh.values())
        try:
            looks = wire.pack_looks(batches, ids)
        except BadPayload:
            self._split(batches)
            return
        fits = len(definitions) + len(looks) <= wire.MOST_OCTETS - SPARE
        if not fits or defined >= wire.MOST_DEFINED:
            self._split(batches)
            return
        stats = self.stats
        if not self._spool.append(definitions, looks):
            if stats.lost == 0:
                log.error("the disk does not take looks; they are lost until it does")
            stats.lost += len(batches)
            return
        self._defined |= fresh.keys()
        stats.parcels += 1
        stats.looks += len(batches)
        stats.octets += len(looks)
        stats.definitions += len(definitions)
        stats.raw_octets += sum(
            t.counters.nbytes + t.gauges.nbytes for b in batches for t in b.tables
        )

    def _split(self, batches: list[Batch]) -> None:
        if len(batches) > 1:
            middle = len(batches) // 2
            self._write(batches[:middle])
            self._write(batches[middle:])
            return
        self.stats.too_large += 1
        log.error("a look at %s fits into no message; it is lost", batches[0].device)

    def _ids(self, batches: list[Batch], fresh: dict[bytes, bytes]) -> dict[int, bytes]:
        ids: dict[int, bytes] = {}
        for batch in batches:
            for table in batch.tables:
                layout = table.layout
                known = self._known.get((batch.device, layout.table))
                if known is None or known.layout is not layout:
                    known = _Known(layout, *wire.define(layout))
                    self._known[batch.device, layout.table] = known
                ids[id(layout)] = known.id
                if known.id not in self._defined:
                    fresh[known.id] = known.octets
        return ids
