"""Looks at every device in its turn, and besides where asked; never waiting for one another.

A look that is still under way when its next turn comes is late, is counted, and is not started
twice. What is done for a turn of devices that are looked at together is done for all at once: there
is no work per device where nothing happens to it.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np

from netopsd.core.fleet import seen
from netopsd.core.inventory import Device
from netopsd.core.model import Batch, Blind, Sweep
from netopsd.errors import CannotLook
from netopsd.ports import Clock, Inbox, Poller, SweepingPoller
from netopsd.turns import Turn, Turns

log = logging.getLogger(__name__)

LATE = 0.5  # of the interval
SOON_S = 2.0  # between two looks at a device that were asked for
Way = tuple[str, str]  # a device, and how it is looked at: "snmp", "netconf"


@dataclass(slots=True)
class WatchStats:
    """What the watch has done since start."""

    looks: int = 0
    blind: dict[str, int] = field(default_factory=dict)
    late: int = 0  # turns that came while the look before was still under way, or far too late
    failed: int = 0  # looks that ended in an exception nobody announced: a bug, logged
    devices: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """The devices of a turn that one poller looks at together."""

    source: str
    poller: SweepingPoller
    names: tuple[str, ...]
    known: frozenset[str]  # the same


@dataclass(frozen=True, slots=True, eq=False)
class _Ways:
    """How the devices of a turn are looked at: together, or each by itself."""

    together: tuple[_Group, ...]
    apart: tuple[tuple[Way, Poller], ...]


@dataclass(slots=True, eq=False)
class _Sweeping:
    """Looks that are taken together, and which of them are over."""

    group: _Group
    apart: set[str]  # looked at by themselves
    told: list[Sweep] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def under_way(self, name: str) -> bool:
        """Whether the look at this device is one of those, and not over."""
        if name not in self.group.known or name in self.apart:
            return False
        places = ((sweep.present, sweep.fleet.index.get(name)) for sweep in self.told)
        return not any(i is not None and present[i] for present, i in places)

    def left(self) -> Iterator[str]:
        """Give those whose look is not over."""
        over = {name for sweep in self.told for name in seen(sweep)}
        return (n for n in self.group.names if n not in over and n not in self.apart)


class Watch:
    """Looks at every device once an interval and puts what it saw into the inbox.

    `pollers` gives the ways a device is looked at, each by its source's name; it is asked anew
    after each `follow`.
    """

    def __init__(
        self,
        pollers: Callable[[str], Sequence[tuple[str, Poller]]],
        clock: Clock,
        inbox: Inbox,
        took: Callable[[float, int], None],
        began_late: Callable[[float, int], None] = lambda late_s, looks: None,
    ) -> None:
        self._pollers = pollers
        self._clock = clock
        self._inbox = inbox
        self._took = took
        self._began_late = began_late
        self.stats = WatchStats()
        self._devices: Mapping[str, Device] = {}
        self._turns = Turns(clock, self._turn)
        self._ways: WeakKeyDictionary[Turn, _Ways] = WeakKeyDictionary()
        self._running = False
        self._looking: dict[Way, asyncio.Task[None]] = {}  # looks by themselves
        self._sweeps: list[_Sweeping] = []
        self._again: set[Way] = set()
        self._timers: dict[tuple[str, float], asyncio.TimerHandle] = {}
        self._soon: dict[str, float] = {}  # device → monotonic time of its latest look asked for

    async def run(self, devices: Mapping[str, Device]) -> None:
        """Watch `devices` (and what `follow` replaces them by) until cancelled."""
        self._turns.start()
        self._running = True
        try:
            self.follow(devices)
            await asyncio.get_running_loop().create_future()
        finally:
            self._running = False
            self._turns.stop()
            for timer in self._timers.values():
                timer.cancel()
            looks = [*self._looking.values(), *(s.task for s in self._sweeps if s.task)]
            for task in looks:
                task.cancel()
            await asyncio.gather(*looks, return_exceptions=True)

    def follow(self, devices: Mapping[str, Device]) -> None:
        """Watch these devices from now on."""
        self._devices = devices
        self._soon = {name: at for name, at in self._soon.items() if name in devices}
        self.stats.devices = len(devices)
        self._ways.clear()
        self._turns.follow(devices)

    def _turn(self, turn: Turn) -> None:
        interval_s, now = turn.interval_s, self._clock.mono_s()
        late_s = now - turn.due_s
        turn.due_s = max(turn.due_s + interval_s, now + interval_s * LATE)
        self._began_late(max(0.0, late_s), len(turn.names))
        if late_s > interval_s * LATE:
            self.stats.late += len(turn.names)
        ways = self._ways.get(turn)
        if ways is None:
            ways = self._ways[turn] = self._find(turn.names)
        for way, poller in ways.apart:
            if self._under_way(way):
                self.stats.late += 1
            else:
                self._start(way, poller)
        for group in ways.together:
            self._start_sweep(group)

    def _find(self, names: tuple[str, ...]) -> _Ways:
        together: dict[str, tuple[SweepingPoller, list[str]]] = {}
        apart: list[tuple[Way, Poller]] = []
        for name in names:
            for source, poller in self._pollers(name):
                if source in together:
                    together[source][1].append(name)
                elif isinstance(poller, SweepingPoller):
                    together[source] = (poller, [name])
                else:
                    apart.append(((name, source), poller))
        groups = [
            _Group(source, poller, tuple(some), frozenset(some))
            for source, (poller, some) in together.items()
        ]
        return _Ways(tuple(groups), tuple(apart))

    def _under_way(self, way: Way) -> bool:
        return way in self._looking or any(
            sweep.group.source == way[1] and sweep.under_way(way[0]) for sweep in self._sweeps
        )

    def look_soon(self, device: str, after_s: float) -> None:
        """Look at `device` in `after_s` seconds, besides its regular turns; asked twice is once.

        Looks beside the turns keep `SOON_S` apart: a storm of traps is no storm of looks. The last
        word is always looked after.
        """
        key = (device, after_s)
        if device not in self._devices or key in self._timers:
            return
        # A storm asks for many devices at once; next time they come a quarter at a time.
        apart_s = SOON_S + zlib.crc32(device.encode()) % 4 / 4
        free_in = self._soon.get(device, float("-inf")) + apart_s - self._clock.mono_s()

        def now() -> None:
            self._timers.pop(key, None)
            if device not in self._devices:
                return
            self._soon[device] = self._clock.mono_s()
            for source, poller in self._pollers(device):
                if self._under_way((device, source)):
                    # The look under way began before what we want verified.
                    self._again.add((device, source))
                else:
                    self._start((device, source), poller)

        wait_s = max(after_s, free_in)
        self._timers[key] = asyncio.get_running_loop().call_later(wait_s, now)

    def _start(self, way: Way, poller: Poller) -> None:
        task = asyncio.get_running_loop().create_task(self._look(way, poller))
        self._looking[way] = task
        task.add_done_callback(lambda _: self._done(way))

    def _done(self, way: Way) -> None:
        del self._looking[way]
        if way in self._again:
            self._start_again((way,))

    def _start_again(self, ways: Iterable[Way]) -> None:
        """Look again where that was asked for during a look that is over now."""
        for way in [way for way in ways if not self._under_way(way)]:
            self._again.discard(way)
            if way[0] not in self._devices or not self._running:
                continue
            for source, poller in self._pollers(way[0]):
                if source == way[1]:
                    self._start(way, poller)

    def _start_sweep(self, group: _Group) -> None:
        source = group.source
        apart = {name for name, how in self._looking if how == source and name in group.known}
        for other in self._sweeps:
            if other.group.source == source and not other.group.known.isdisjoint(group.known):
                apart.update(group.known.intersection(other.left()))
        self.stats.late += len(apart)
        sweeping = _Sweeping(group, apart)
        task = asyncio.get_running_loop().create_task(self._sweep(sweeping))
        sweeping.task = task
        self._sweeps.append(sweeping)
        task.add_done_callback(lambda _: self._swept(sweeping, task))

    async def _sweep(self, sweeping: _Sweeping) -> None:
        """Look at many devices together; who has to be looked at by itself is, at once."""
        group = sweeping.group
        async for told in group.poller.sweep(group.names, frozenset(sweeping.apart)):
            if isinstance(told, str):
                if sweeping.under_way(told):
                    sweeping.apart.add(told)
                    self._start((told, group.source), group.poller)
                continue
            self.stats.looks += int(np.count_nonzero(told.present))
            for took_s, count in zip(
                *np.unique(told.took_s[told.present], return_counts=True), strict=True
            ):
                self._took(float(took_s), int(count))
            await self._inbox.put(told)
            sweeping.told.append(told)
            if self._again:
                self._start_again(self._again)

    def _swept(self, sweeping: _Sweeping, task: asyncio.Task[None]) -> None:
        """End what a sweep left open: after a bug of ours, the looks are taken one by one."""
        self._sweeps.remove(sweeping)
        bug = None if task.cancelled() else task.exception()
        if bug is not None:
            group = sweeping.group
            self.stats.failed += 1
            log.error("looking at %d devices together failed", len(group.names), exc_info=bug)
            self._again.update((name, group.source) for name in sweeping.left())
        self._start_again(self._again)

    async def _look(self, way: Way, poller: Poller) -> None:
        name = way[0]
        began = self._clock.mono_s()
        self.stats.looks += 1
        try:
            batch = await poller.poll(name)
        except CannotLook as error:
            batch = self._blind(way, began, error.why, error.detail)
        except Exception:
            # The second of the three broad catches: an exception never crosses the inbox, a blind
            # batch does; and one device that trips a bug of ours must not stop the others.
            self.stats.failed += 1
            log.exception("looking at %s failed in a way no collector announces", name)
            batch = self._blind(way, began, Blind.SKIPPED, "a bug in the collector; see the log")
        self._took(self._clock.mono_s() - began, 1)
        await self._inbox.put(batch)

    def _blind(self, way: Way, began: float, why: Blind, detail: str) -> Batch:
        self.stats.blind[why.value] = self.stats.blind.get(why.value, 0) + 1
        return Batch(
            device=way[0],
            source=way[1],
            at=self._clock.now(),
            mono_s=self._clock.mono_s(),
            took_s=self._clock.mono_s() - began,
            blind=why,
            why=detail,
        )
