"""A machine on which no second is waited for, and whose clock somebody may set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from netopsd.clock import SystemClock
from tests.patience import StillLoop

BEGAN = datetime(2026, 11, 26, 12, tzinfo=UTC)


class Machine(datetime):
    """The machine's clock, as APScheduler and we read it, and as somebody sets it."""

    ahead = timedelta()
    loop: StillLoop

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return (BEGAN + timedelta(seconds=cls.loop.time()) + cls.ahead).astimezone(tz)


def clock() -> SystemClock:
    """Return the house's clock on this machine."""
    return SystemClock(lambda: Machine.now(UTC), Machine.loop.time)
