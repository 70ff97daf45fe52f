"""Real time that never goes backwards, and time a test can move."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

STEP = timedelta(seconds=5)
SLEW = 0.0005  # at most 0.5 ms a second, as ntpd slews


class SystemClock:
    """Wall time carried by the monotonic clock.

    Whoever sets the machine's clock does not make our time jump: a difference under 5 s is worked
    off slowly (SLEW). A larger step forward is followed at once; a larger step back is ignored
    until real time has caught up, so no window of usage or SLA is ever entered twice. `stepped_s`
    is the latest difference seen beyond 5 s, for the metrics and an alarm about ourselves.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._real, self._count = wall, mono
        self._mono, self._wall = mono(), wall()
        self.stepped_s = 0.0

    def now(self) -> datetime:
        mono = self._count()
        passed = mono - self._mono
        if passed >= 1.0:
            self._rebase(mono, passed)
            passed = 0.0
        return self._wall + timedelta(seconds=passed)

    def _rebase(self, mono: float, passed: float) -> None:
        carried = self._wall + timedelta(seconds=passed)
        drift = self._real() - carried
        if drift > STEP:
            self.stepped_s = drift.total_seconds()
            carried += drift
        elif drift < -STEP:
            self.stepped_s = drift.total_seconds()
        else:
            most = timedelta(seconds=passed * SLEW)
            carried += max(-most, min(most, drift))
        self._mono, self._wall = mono, carried

    def machine_now(self) -> datetime:
        return self._real()

    def mono_s(self) -> float:
        return self._count()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """Stands still until moved. Sleeping moves it at once."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._now = start

    def now(self) -> datetime:
        return self._now

    def machine_now(self) -> datetime:
        return self._now

    def mono_s(self) -> float:
        return (self._now - self._start).total_seconds()

    def move(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.move(seconds)
        await asyncio.sleep(0)
