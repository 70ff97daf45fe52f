"""sysUpTime as last seen, and whether it has begun anew since. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

SECOND = 100  # ticks
SLACK = 5.0 * SECOND  # agents' clocks and our own are not the same
SLOW, FAST = 0.95, 1.05
IN_VAIN = 3  # walks in a row that a clock behind its time asked for, and that found nothing new


class Uptime(NamedTuple):
    """sysUpTime and when (monotonic) it was that; infinity where it was not seen yet."""

    ticks: int = 0
    seen_s: float = float("inf")


def began_anew(before: ArrayLike, after: ArrayLike, elapsed_s: ArrayLike) -> NDArray[np.bool_]:
    """Return where sysUpTime, `before` so many ticks, began anew in the time since.

    It went back; or it is behind where it must be by now, and as small as it can only be where it
    began within that time. A clock that stands still, or is slow, is no restart. A wrap is taken
    for one: one walk in 497 days.
    """
    was, now = np.asarray(before, np.float64), np.asarray(after, np.float64)
    passed = np.asarray(elapsed_s, np.float64) * SECOND
    back, young = np.asarray(now < was), now < FAST * passed + SLACK
    if not young.any():  # as it is with most of them, most of the time
        return back
    behind = now < np.maximum(was - SLACK, 0.0) + SLOW * passed
    return np.asarray(back | ((now != was) & behind & young))


class Life:
    """What is known of how long a device is up; `seen` is sysUpTime as last seen."""

    def __init__(self) -> None:
        self.seen = Uptime()
        self._in_vain = 0

    def saw(self, uptime: Uptime) -> None:
        """Take note of sysUpTime as sweeps saw it, be they older than the latest look."""
        if uptime.seen_s > self.seen.seen_s or self.seen == Uptime():
            self.seen = uptime

    def restarted(self, now: Uptime | None) -> bool:
        """Return whether the device restarted since sysUpTime was last seen, None where it is not.

        Who is behind every time, never goes back and has the rows it always had is no device that
        restarts: its clock is slow (there are some that count seconds).
        """
        if now is None:
            return False
        anew = bool(began_anew(self.seen.ticks, now.ticks, now.seen_s - self.seen.seen_s))
        if not anew or now.ticks < self.seen.ticks:
            self._in_vain = 0
            return anew
        return self._in_vain < IN_VAIN

    def followed(self, changed: bool) -> None:
        """Take note that the rows were learnt after a restart, and whether they are others."""
        self._in_vain = 0 if changed else self._in_vain + 1
