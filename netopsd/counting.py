"""Plain numbers for the hot path: nothing here knows of Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

from netopsd.ports import Clock

LAG_EVERY_S = 0.5
LAG_KEPT_S = 60.0


class Histogram:
    """Durations counted into buckets: one bisect and two additions an observation."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += times
        self.total += seconds * times

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, observations at most that), as the exposition wants them."""
        told, running = [], 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            running += count
            told.append(("+Inf" if bound == float("inf") else repr(bound), float(running)))
        return told


class Counts:
    """Events counted by one word: `counts.add("ok")`. Words given at the start are told as 0."""

    __slots__ = ("values",)

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.values = dict.fromkeys(words, 0)

    def add(self, word: str, number: int = 1) -> None:
        self.values[word] = self.values.get(word, 0) + number


def until_next(every_s: float, now: float) -> float:
    """Return the seconds to the next multiple of `every_s`. Who goes by that wakes together.

    A timer that was a little early is not set for the rest: it would go off twice.
    """
    left = every_s - now % every_s
    return left if left > every_s / 10 else left + every_s


class LoopLag:
    """How late the event loop gets to what is due, measured twice a second.

    At whole and half seconds, when most is due: a waking of its own would cost more than measuring.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()  # (when, lag), newest last
        self.last_s = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            before = self._clock.mono_s()
            wait_s = until_next(LAG_EVERY_S, before)
            await self._clock.sleep(wait_s)
            now = self._clock.mono_s()
            self.note(now, max(0.0, now - before - wait_s))

    def note(self, now: float, lag_s: float) -> None:
        self.last_s = lag_s
        self._seen.append((now, lag_s))
        while self._seen[0][0] < now - LAG_KEPT_S:
            self._seen.popleft()

    def worst_s(self) -> float:
        """Return the longest lag of the last minute, so that no scrape misses it."""
        return max((lag for _, lag in self._seen), default=0.0)
