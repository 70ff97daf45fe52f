"""How far the core has taken each collector's looks: in order, nothing twice, gaps counted.

Decides and remembers; the network is elsewhere (sites.py). What must survive a restart is `kept`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from collectors.mqtt import wire
from collectors.mqtt.bounded import BadPayload
from collectors.mqtt.spool import RUN
from collectors.mqtt.topics import Collector, Taken
from netopsd.core.model import Batch, Layout
from netopsd.ports import Clock

ASK_AGAIN_S = 3.0
ASKS = 3  # in vain, and what lies between is counted as lost
LONG_AGO_S = -1e9
LAYOUT_ROWS = 5_000_000  # rows of all layouts kept of one collector
AHEAD = timedelta(minutes=5)  # a look further in the future than this is refused: it would
# outlive every honest one. Collectors keep their clocks by NTP.


class Verdict(Enum):
    """What becomes of a parcel."""

    TAKE = auto()
    REPEATED = auto()  # taken before: nothing is to happen but saying so
    ASK = auto()  # something before it, or its layouts, must come first


@dataclass(slots=True, kw_only=True)
class Stream:
    """One collector's looks, as far as we have them."""

    whose: Collector
    stream: int
    taken: int
    sure: int  # taken and committed: what the collector may forget
    met: bool = True  # False while all we have of it are layouts: where it begins is not known
    ask: int = 0
    asks: int = 0  # in vain
    asked_s: float = LONG_AGO_S
    layouts: dict[bytes, Layout] = field(default_factory=dict)
    layout_rows: int = 0
    anchors: dict[int, float] = field(default_factory=dict)  # run → what its mono_s lacks to ours

    def define(self, found: Mapping[bytes, Layout]) -> None:
        """Keep layouts; the oldest go where there are too many, and are asked for if needed."""
        for id, layout in found.items():
            if id not in self.layouts:
                self.layouts[id] = layout
                self.layout_rows += len(layout.rows) + 1
        while self.layout_rows > LAYOUT_ROWS and len(self.layouts) > 1:
            oldest = next(iter(self.layouts))
            self.layout_rows -= len(self.layouts.pop(oldest).rows) + 1


@dataclass(slots=True, kw_only=True)
class StreamStats:
    """Since start."""

    parcels: int = 0
    looks: int = 0
    repeated: int = 0
    gaps: int = 0  # times something is lost for good
    asked: int = 0
    not_theirs: int = 0  # looks at devices that are not of the collector's site
    future: int = 0
    bad: dict[str, int] = field(default_factory=dict)  # by BadPayload.word


class Streams:
    """All collectors' streams. `devices` maps each device polled elsewhere to its site."""

    def __init__(self, devices: Mapping[str, str], clock: Clock, run: str) -> None:
        self.devices = devices
        self.stats = StreamStats()
        self._clock = clock
        self._run = run
        self._streams: dict[Collector, Stream] = {}
        # Our monotonic clock is not the collectors': theirs are laid on it by the wall clock.
        self._offset_s = clock.mono_s() - clock.now().timestamp()

    def judge(self, whose: Collector, parcel: wire.Parcel) -> Verdict:
        """Say what becomes of a parcel, its definitions kept. Raises BadPayload."""
        stream = self._streams.get(whose)
        if stream is None or stream.stream != parcel.stream:
            stream = Stream(whose=whose, stream=parcel.stream, taken=0, sure=0, met=False)
            self._streams[whose] = stream
        stream.define(wire.definitions(parcel.definitions))
        if parcel.kind == wire.DEFINITIONS:
            return Verdict.REPEATED
        if not stream.met:
            stream.met, stream.taken, stream.sure = True, parcel.floor, parcel.floor
        if parcel.seq <= stream.taken:
            self.stats.repeated += 1
            return Verdict.REPEATED
        if parcel.floor > stream.taken:
            self.stats.gaps += 1  # the collector gave them up, or its disk did
            stream.taken = parcel.floor
        if parcel.prev > stream.taken:
            if stream.asks < ASKS:
                return Verdict.ASK
            self.stats.gaps += 1
        return Verdict.TAKE

    def open(self, whose: Collector, parcel: wire.Parcel) -> list[Batch]:
        """Return the looks of a parcel that is to be taken; those that may not be are counted.

        Raises wire.Unknown where a layout is missing, BadPayload.
        """
        stream = self._streams[whose]
        found = wire.looks(parcel.looks, stream.layouts)
        run = parcel.seq // RUN
        latest = self._clock.now() + AHEAD
        good: list[Batch] = []
        for batch in found:
            if self.devices.get(batch.device) != whose.site:
                self.stats.not_theirs += 1
            elif batch.at > latest:
                self.stats.future += 1
            else:
                good.append(self._placed(stream, run, batch))
        self.stats.parcels += 1
        self.stats.looks += len(good)
        return good

    def _placed(self, stream: Stream, run: int, batch: Batch) -> Batch:
        """Lay the look's monotonic time on ours: exact within a run, by the wall between runs."""
        anchor = stream.anchors.get(run)
        if anchor is None:
            anchor = batch.at.timestamp() - batch.mono_s + self._offset_s
            stream.anchors = {run: anchor}
        return replace(batch, mono_s=batch.mono_s + anchor)

    def took(self, whose: Collector, seq: int) -> None:
        """The parcel is done with, taken or beyond reading: go on after it."""
        stream = self._streams[whose]
        stream.taken, stream.asks = max(stream.taken, seq), 0

    def commit(self) -> None:
        """All that was taken is committed: from now on it may be kept, and told."""
        for stream in self._streams.values():
            stream.sure = stream.taken

    def back(self) -> None:
        """The connection was lost: what was taken and not committed will be taken again.

        What was asked for over it was not asked for in vain: perhaps nobody heard, or the answer
        was lost with it.
        """
        for stream in self._streams.values():
            stream.taken, stream.asks, stream.asked_s = stream.sure, 0, LONG_AGO_S

    def ask(self, whose: Collector) -> bool:
        """Want everything after what we have again; False where that was asked just now."""
        stream = self._streams[whose]
        now = self._clock.mono_s()
        if now - stream.asked_s < ASK_AGAIN_S:
            return False
        stream.asked_s = now
        stream.ask += 1
        stream.asks += 1
        self.stats.asked += 1
        return True

    def lacking(self, whose: Collector) -> Verdict:
        """Say what becomes of looks whose layout nobody defined."""
        if self._streams[whose].asks < ASKS:
            return Verdict.ASK
        self.stats.gaps += 1  # asked in vain: the collector does not know either
        return Verdict.TAKE

    def bad(self, error: BadPayload) -> None:
        self.stats.bad[error.word] = self.stats.bad.get(error.word, 0) + 1

    def taken(self, whose: Collector) -> Taken | None:
        """Return what to tell a collector; None where we know nothing of it."""
        stream = self._streams.get(whose)
        if stream is None:
            return None
        return Taken(stream=stream.stream, taken=stream.sure, run=self._run, ask=stream.ask)

    def count(self, site: str) -> int:
        """Return how many collectors of `site` are known."""
        return sum(1 for whose in self._streams if whose.site == site)

    def known(self, whose: Collector) -> bool:
        return whose in self._streams

    @property
    def all(self) -> tuple[Collector, ...]:
        return tuple(self._streams)

    def kept(self) -> list[dict[str, Any]]:
        """Return what must survive, as JSON values."""
        return [
            {
                "site": stream.whose.site,
                "name": stream.whose.name,
                "stream": f"{stream.stream:016x}",
                "taken": stream.sure,
            }
            for stream in self._streams.values()
            if stream.met
        ]

    def restore(self, root: str, kept: list[dict[str, Any]]) -> None:
        """Go on from `kept`. Raises KeyError, ValueError, TypeError where that is none of ours."""
        for one in kept:
            whose = Collector(root=root, site=str(one["site"]), name=str(one["name"]))
            taken = int(one["taken"])
            self._streams[whose] = Stream(
                whose=whose, stream=int(one["stream"], 16), taken=taken, sure=taken
            )
