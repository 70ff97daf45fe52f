"""sysUpTime as last seen, and whether it has begun anew since. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

SECOND = 100  # ticks
SLACK = 5.0 * SECOND  # agents' clocks and our own are not the same
SLOW, FAST = 0.95, 1.05


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
    behind = now < np.maximum(was - SLACK, 0.0) + SLOW * passed
    young = now < FAST * passed + SLACK
    return np.asarray((now < was) | ((now != was) & behind & young))
