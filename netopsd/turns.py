"""Whose turn it is, when: devices spread over their interval, the same way at every start.

APScheduler begins rounds, of a minute or an interval; their turns, one a second, follow by the
event loop's own timers. (One job per turn would cost as much as the looks; one per device far
more.) APScheduler goes by the machine's clock, and somebody may set that: a round that begins too
early, or not in its time, is planned anew, so no device waits an hour because a clock does. Turns
missed while the event loop stood still are taken once, at most.
"""

from __future__ import annotations

import asyncio
import logging
import math
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from netopsd.core.inventory import Device
from netopsd.ports import Clock

log = logging.getLogger(__name__)

PHASES_PER_S = 1
MOST_PHASES = 3000
ROUND_S = 60.0  # a round is at least so long: intervals after one another, if need be
NEAR_S = 0.1  # so near to where a round should begin, it may begin
EARLY_S = 0.002  # timers are of milliseconds
PATIENCE = 0.5  # of an interval; what is later is left to the next turn, and a round planned anew


@dataclass(slots=True, eq=False, weakref_slot=True)
class Turn:
    """The devices of one phase. `offset_s` is where in the interval, `due_s` (monotonic) the next
    time."""

    interval_s: float
    offset_s: float
    names: tuple[str, ...]
    due_s: float


@dataclass(slots=True, eq=False)
class _Round:
    """The turns of one interval in order, again and again for `size_s`, and which is next."""

    interval_s: float
    size_s: float
    turns: tuple[Turn, ...]
    began_s: float
    following: int = 0
    timer: asyncio.TimerHandle | None = None

    def at_s(self, number: int) -> float:
        """Return when a turn of this round comes."""
        again, at = divmod(number, len(self.turns))
        return self.began_s + again * self.interval_s + self.turns[at].offset_s

    @property
    def count(self) -> int:
        return round(self.size_s / self.interval_s) * len(self.turns)

    def go_on(self) -> None:
        """Be the next round. What is left of this one comes first."""
        self.following -= self.count
        self.began_s += self.size_s


class Turns:
    """Calls `take` with each turn when it comes."""

    def __init__(self, clock: Clock, take: Callable[[Turn], None]) -> None:
        self._clock = clock
        self._take = take
        self._devices: Mapping[str, Device] = {}
        self._rounds: list[_Round] = []
        self._scheduler: AsyncIOScheduler | None = None
        self._began_s = 0.0

    def start(self) -> None:
        """Begin; `follow` says with whom."""
        self._scheduler = AsyncIOScheduler(
            timezone="UTC",
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 2},
        )
        self._scheduler.start()
        # On whole seconds, as all that is done once a second: so they are one waking, not many.
        self._began_s = float(math.ceil(self._clock.mono_s()))

    def stop(self) -> None:
        """Nobody has a turn any more."""
        self._forget()
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None

    def follow(self, devices: Mapping[str, Device]) -> None:
        """Give turns to these devices from now on; who had one before keeps its place."""
        self._devices = devices
        if self._scheduler is None:
            return
        for round_ in self._rounds:
            if self._clock.mono_s() + EARLY_S >= round_.began_s + round_.size_s:
                round_.go_on()  # it was about to be begun
            self._catch_up(round_)
        self._forget()
        by_phase: defaultdict[float, defaultdict[int, list[str]]]
        by_phase = defaultdict(lambda: defaultdict(list))
        for device in devices.values():
            by_phase[device.interval_s][phase_of(device)].append(device.name)
        for interval_s, phases_of in by_phase.items():
            self._plan(interval_s, sorted(phases_of.items()), self._scheduler)

    def _forget(self) -> None:
        for round_ in self._rounds:
            if round_.timer is not None:
                round_.timer.cancel()
        self._rounds.clear()
        if self._scheduler is not None:
            self._scheduler.remove_all_jobs()

    def _plan(
        self, interval_s: float, named: list[tuple[int, list[str]]], scheduler: AsyncIOScheduler
    ) -> None:
        """Go on with the round that is under way, and have the next ones begun."""
        now = self._clock.mono_s() + EARLY_S  # what was due until then is taken
        size_s = interval_s * max(1, math.ceil(ROUND_S / interval_s))
        began_s = begin_of(size_s, self._began_s, now)
        cycle_s = begin_of(interval_s, began_s, now)
        turns: list[Turn] = []
        for phase, names in named:
            offset_s = interval_s * phase / phases(interval_s)
            due_s = cycle_s + offset_s
            due_s += interval_s if due_s <= now else 0.0
            turns.append(Turn(interval_s, offset_s, tuple(names), due_s))
        round_ = _Round(interval_s, size_s, tuple(turns), began_s)
        while round_.following < round_.count and round_.at_s(round_.following) <= now:
            round_.following += 1
        self._rounds.append(round_)
        self._wait(round_)
        first = self._clock.machine_now() + timedelta(seconds=began_s + size_s - now)
        scheduler.add_job(
            self._begin,
            IntervalTrigger(seconds=size_s, start_date=first),
            args=[round_],
            next_run_time=first,
        )

    async def _begin(self, round_: _Round) -> None:
        """Begin the next round; called by APScheduler."""
        if round_ not in self._rounds:
            return
        at_s = round_.began_s + round_.size_s
        if abs(self._clock.mono_s() - at_s) > NEAR_S:
            self._replan()
            return
        round_.go_on()
        self._on_time(round_)

    def _catch_up(self, round_: _Round) -> None:
        """Take the turns that are due now; of those long due, the next one comes soon enough."""
        now = self._clock.mono_s() + EARLY_S
        while now > round_.began_s + round_.size_s + NEAR_S:  # the event loop stood still
            round_.go_on()
        while round_.following < round_.count and (at_s := round_.at_s(round_.following)) <= now:
            turn = round_.turns[round_.following % len(round_.turns)]
            round_.following += 1
            if now - at_s <= round_.interval_s * PATIENCE:
                self._take(turn)

    def _wait(self, round_: _Round) -> None:
        """Have the next turn taken in its time; behind the last one, see that a round begins."""
        if round_.timer is not None:
            round_.timer.cancel()
        loop = asyncio.get_running_loop()
        ahead_s = loop.time() - self._clock.mono_s()  # the loop's clock may be another
        if round_.following < round_.count:
            at_s = round_.at_s(round_.following)
            round_.timer = loop.call_at(at_s + ahead_s, self._on_time, round_)
        else:
            at_s = round_.began_s + round_.size_s + round_.interval_s * PATIENCE
            round_.timer = loop.call_at(at_s + ahead_s, self._replan)

    def _on_time(self, round_: _Round) -> None:
        try:
            self._catch_up(round_)
        finally:
            if round_ in self._rounds:
                self._wait(round_)

    def _replan(self) -> None:
        log.info("a round begins at another time than it should: turns are planned anew")
        self.follow(self._devices)


def begin_of(interval_s: float, began_s: float, now: float) -> float:
    """Return when the round that is under way at `now` began; all times monotonic.

    Rounds stay where they are however often the configuration is read anew.
    """
    return began_s + (now - began_s) // interval_s * interval_s


def phases(interval_s: float) -> int:
    """Return into how many phases an interval is cut."""
    return max(1, min(MOST_PHASES, int(interval_s * PHASES_PER_S)))


def phase_of(device: Device) -> int:
    """Return a device's phase: the same at every start, spread evenly over many devices."""
    return zlib.crc32(device.name.encode()) % phases(device.interval_s)
