"""Traffic through a port in one direction: true octets as an integer that never goes back."""

from __future__ import annotations

from math import cos, tau
from random import Random

M32 = 2**32 - 1
M64 = 2**64 - 1


class Flow:
    """A counter that runs. `total` is the truth; `shown` and `since_reset` are what agents show.

    The rate swings around its mean as rate · (1 + swing · sin(2πt/period + phase)); the integral
    is closed, so a value is exact for any time and costs the same whenever it is read. Times are
    seconds of the scenario.
    """

    __slots__ = ("_base", "_mean", "_phase", "_since", "_swing", "_turn", "_zero", "shift")

    def __init__(self, rate: float, swing: float, random: Random, shown: int = 0) -> None:
        self._base = 0
        self._since = 0.0
        self._mean = rate
        self._swing = 0.0
        self._turn = tau / random.uniform(20.0, 90.0)
        self._phase = random.uniform(0.0, tau)
        self._swing = min(max(swing, 0.0), 0.9)
        self.shift = shown  # what the agent shows is total + shift, modulo its width
        self._zero = -shown

    def total(self, now: float) -> int:
        """Return the true count since the scenario began."""
        mean = self._mean
        if not mean:
            return self._base
        grown = mean * (now - self._since)
        if self._swing:
            turn, phase = self._turn, self._phase
            grown += (
                mean
                * self._swing
                / turn
                * (cos(turn * self._since + phase) - cos(turn * now + phase))
            )
        return self._base + int(grown)

    def run(self, rate: float, now: float) -> None:
        """From `now` on, count at `rate` a second."""
        if rate != self._mean:
            self._base = self.total(now)
            self._since = now
            self._mean = rate

    def shown(self, now: float) -> int:
        """Return the agent's 64-bit value; its 32-bit one is the lower half."""
        return (self.total(now) + self.shift) & M64

    def since_reset(self, now: float) -> int:
        """Return the count since the agent last began at zero (for packets, which do not wrap)."""
        return self.total(now) - self._zero

    def show(self, value: int, now: float) -> None:
        """Make the agent show `value` now. The truth is not touched."""
        total = self.total(now)
        self.shift = value - total
        self._zero = total if not value else self._zero
