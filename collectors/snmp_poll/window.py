"""How many packets may be out at once, and how soon answers are fetched. Pure: time is told."""

from __future__ import annotations

# A burst is lost where a buffer on its way is small. So few are out at first; more once turns are
# not done in time otherwise, and half as many where answers stay away.
FIRST, LEAST = 64, 16
GROWTH = 1.25
CALM_S = 30.0  # without growth after a loss
PAUSE_S = 1.0  # between two losses that count
# While answers keep coming they are fetched so often, many at a time; where turns are not done in
# their time, more often.
DRAIN_S, DRAIN_LEAST_S = 0.020, 0.004
LOSS = 0.05  # of what is out: more than that says that it is too much


class Window:
    """`size` packets out at most, fetched every `drain_s`."""

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._size = min(float(FIRST), self._most)
        self._shrunk_s = float("-inf")
        self.drain_s = DRAIN_S

    @property
    def size(self) -> int:
        return int(self._size)

    def turn(self, behind: bool, now: float) -> None:
        """Take note of a new turn; `behind` where the one before is not all sent yet."""
        if not behind:
            self.drain_s = min(self.drain_s * GROWTH, DRAIN_S)
            return
        self.drain_s = max(self.drain_s / GROWTH, DRAIN_LEAST_S)
        if now - self._shrunk_s > CALM_S:
            self._size = min(self._size * GROWTH, self._most)

    def lost(self, count: int, out: int, now: float) -> None:
        """Take note that `count` packets to devices that do answer were lost, `out` are out."""
        if count <= LOSS * (out + count) or now - self._shrunk_s <= PAUSE_S:
            return
        least = min(float(LEAST), self._most)
        if self._size > least:
            self._size, self._shrunk_s = max(self._size / 2, least), now
