"""When to look at which device: spread over the interval, never waiting for one another.

APScheduler fires a few phases per interval; each phase starts the looks of its share of the
devices. (One job per device would cost as much as the look itself.) A look that is still under way
when its next turn comes is late, is counted, and is not started twice.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from netopsd.core.inventory import Device
from netopsd.core.model import Batch, Blind
from netopsd.errors import CannotLook
from netopsd.ports import Clock, Inbox, Poller, SweepingPoller

log = logging.getLogger(__name__)

PHASES_PER_S = 1
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


class Watch:
    """Looks at every device once an interval and puts what it saw into the inbox.

    `pollers` gives the ways a device is looked at, each by its source's name.
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
        self._scheduler: AsyncIOScheduler | None = None
        self._looking: dict[Way, asyncio.Task[None]] = {}
        self._again: set[Way] = set()
        self._timers: dict[tuple[str, float], asyncio.TimerHandle] = {}
        self._soon: dict[str, float] = {}  # device → monotonic time of its latest look asked for
        self._due: dict[tuple[float, int], float] = {}
        self._began = 0.0

    async def run(self, devices: Mapping[str, Device]) -> None:
        """Watch `devices` (and what `follow` replaces them by) until cancelled."""
        self._scheduler = AsyncIOScheduler(
            timezone="UTC",
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 2},
        )
        self._scheduler.start()
        self._began = self._clock.mono_s()
        try:
            self.follow(devices)
            await asyncio.get_running_loop().create_future()
        finally:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None
            for timer in self._timers.values():
                timer.cancel()
            looks = list(dict.fromkeys(self._looking.values()))
            for task in looks:
                task.cancel()
            await asyncio.gather(*looks, return_exceptions=True)

    def follow(self, devices: Mapping[str, Device]) -> None:
        """Watch these devices from now on."""
        self._devices = devices
        self._soon = {name: at for name, at in self._soon.items() if name in devices}
        self.stats.devices = len(devices)
        if self._scheduler is None:
            return
        self._scheduler.remove_all_jobs()
        self._due.clear()
        now = self._clock.now()
        by_phase: defaultdict[tuple[float, int], list[str]] = defaultdict(list)
        for device in devices.values():
            by_phase[device.interval_s, phase_of(device)].append(device.name)
        for (interval, phase), names in by_phase.items():
            offset = until_turn(interval, phase, self._clock.mono_s() - self._began)
            self._due[interval, phase] = self._clock.mono_s() + offset
            self._scheduler.add_job(
                self._turn,
                IntervalTrigger(seconds=interval, start_date=now + timedelta(seconds=offset)),
                args=[interval, phase, tuple(names)],
                next_run_time=now + timedelta(seconds=offset),
            )

    async def _turn(self, interval: float, phase: int, names: tuple[str, ...]) -> None:
        due = self._due.get((interval, phase), 0.0)
        now = self._clock.mono_s()
        late = now - due
        self._due[interval, phase] = max(due + interval, now + interval * LATE)
        self._began_late(max(0.0, late), len(names))
        if late > interval * LATE:
            self.stats.late += len(names)
        together: dict[str, tuple[SweepingPoller, list[str]]] = {}
        for name in names:
            for source, poller in self._pollers(name):
                if (name, source) in self._looking:
                    self.stats.late += 1
                if source in together:
                    together[source][1].append(name)
                elif isinstance(poller, SweepingPoller):
                    together[source] = (poller, [name])
                elif (name, source) not in self._looking:
                    self._start((name, source), poller)
        for source, (poller, some) in together.items():
            self._start_sweep(source, poller, tuple(some))

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
                if (device, source) in self._looking:
                    # The look under way began before what we want verified.
                    self._again.add((device, source))
                else:
                    self._start((device, source), poller)

        wait_s = max(after_s, free_in)
        self._timers[key] = asyncio.get_running_loop().call_later(wait_s, now)

    def _start(self, way: Way, poller: Poller) -> None:
        task = asyncio.get_running_loop().create_task(self._look(way, poller))
        self._looking[way] = task
        task.add_done_callback(lambda _: self._done(way, poller, task))

    def _done(self, way: Way, poller: Poller, task: asyncio.Task[None]) -> None:
        if self._looking.get(way) is not task:
            return  # somebody else's look by now
        del self._looking[way]
        if way in self._again:
            self._again.discard(way)
            if way[0] in self._devices and self._scheduler is not None:
                self._start(way, poller)

    def _start_sweep(self, source: str, poller: SweepingPoller, names: tuple[str, ...]) -> None:
        under_way = frozenset(name for name in names if (name, source) in self._looking)
        looking = self._sweep(source, poller, names, under_way)
        task = asyncio.get_running_loop().create_task(looking)
        for name in names:
            self._looking.setdefault((name, source), task)
        task.add_done_callback(lambda _: self._swept(task, source, poller, names))

    async def _sweep(
        self,
        source: str,
        poller: SweepingPoller,
        names: tuple[str, ...],
        under_way: frozenset[str],
    ) -> None:
        """Look at `names` together; who has to be looked at by itself is, at once."""
        ours = asyncio.current_task()
        assert ours is not None
        async for told in poller.sweep(names, under_way):
            if isinstance(told, str):
                if self._looking.get((told, source)) is ours:
                    self._start((told, source), poller)
                continue
            seen = np.flatnonzero(told.present).tolist()
            self.stats.looks += len(seen)
            for took_s, count in zip(
                *np.unique(told.took_s[told.present], return_counts=True), strict=True
            ):
                self._took(float(took_s), int(count))
            await self._inbox.put(told)
            for i in seen:
                self._done((told.fleet.names[i], source), poller, ours)

    def _swept(
        self, task: asyncio.Task[None], source: str, poller: Poller, names: tuple[str, ...]
    ) -> None:
        """End what a sweep left open: after a bug of ours, the looks are taken one by one."""
        bug = None if task.cancelled() else task.exception()
        if bug is not None:
            self.stats.failed += 1
            log.error("looking at %d devices together failed", len(names), exc_info=bug)
        for name in names:
            way = (name, source)
            if self._looking.get(way) is task:
                if bug is not None:
                    self._again.add(way)
                self._done(way, poller, task)

    async def _look(self, way: Way, poller: Poller) -> None:
        name = way[0]
        began = self._clock.mono_s()
        self.stats.looks += 1
        try:
            batch = await poller.poll(name)
        except CannotLook as error:
            batch = self._blind(way, began, error.why, error.detail)
        except Exception:
            # The second of the two broad catches: an exception never crosses the inbox, a blind
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


def until_turn(interval_s: float, phase: int, running_s: float) -> float:
    """Return the seconds to the next turn of a phase, `running_s` after the watch began.

    Turns stay where they are however often the configuration is read anew.
    """
    return (interval_s * phase / phases(interval_s) - running_s) % interval_s


def phases(interval_s: float) -> int:
    """Return into how many phases an interval is cut."""
    return max(1, min(3000, int(interval_s * PHASES_PER_S)))


def phase_of(device: Device) -> int:
    """Return a device's phase: the same at every start, spread evenly over many devices."""
    return zlib.crc32(device.name.encode()) % phases(device.interval_s)
