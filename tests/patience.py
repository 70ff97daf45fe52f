"""Time for tests: what a starved machine did not let us do does not count.

Every event loop of the tests is a `PatientLoop`, see `conftest.py`: its time passes while it waits,
not while the process is kept from running. So no time-out overtakes an answer that is there,
however slow the machine; what truly waits too long still does. A `StillLoop` does not wait at all:
its time goes to the next timer at once.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")
WORK_S = 0.001  # at most so much of each turn of the loop counts
OVERSLEPT_S = 0.02  # who wakes up later than that was kept from running
LEAST_S = 0.001


class _Waiting(selectors.DefaultSelector):
    """Measures waits. `now` is the loop's time at the end of the latest one."""

    waited_s: ClassVar[float] = 0.0  # by all loops of this process

    def __init__(self) -> None:
        super().__init__()
        self.now = self._ended = time.monotonic()

    def worked_s(self) -> float:
        return min(time.monotonic() - self._ended, WORK_S)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += self.worked_s()
        began = time.monotonic()
        found = super().select(timeout)
        self._ended = time.monotonic()
        took_s = _counted(self._ended - began, timeout, bool(found))
        self.now += took_s
        _Waiting.waited_s += took_s
        return found


def _counted(passed_s: float, timeout: float | None, found: bool) -> float:
    """Return how much of a wait counts. After a stall, others get the time to answer at last."""
    if timeout is None:
        return passed_s
    if passed_s <= timeout + (0.0 if found else OVERSLEPT_S):
        return min(passed_s, max(timeout, 0.0))
    return min(max(timeout, 0.0), max(timeout / 2, LEAST_S))


class PatientLoop(asyncio.SelectorEventLoop):
    """Its time passes while it waits."""

    def __init__(self) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting)

    def time(self) -> float:
        return self._waiting.now + self._waiting.worked_s()

    def skip(self, seconds: float) -> None:
        """Let time pass in which nobody does anything."""
        self._waiting.now += seconds


class Policy(asyncio.DefaultEventLoopPolicy):
    """Makes `asyncio.run` patient."""

    _loop_factory = PatientLoop


def spent_s() -> float:
    """Return what was waited and worked since some moment, for the difference of two.

    That is how long things would have taken on a machine of our own.
    """
    return _Waiting.waited_s + time.process_time()


class _Still(selectors.DefaultSelector):
    """Waits for nothing but what is there already."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.3

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout is None:
            raise RuntimeError("everybody waits, and for nothing that has a time")
        if not found:
            self.now += max(timeout or 0.0, 0.0)
        return found


class StillLoop(asyncio.SelectorEventLoop):
    """Goes to the next timer at once: hours are over in no time, and to the tick.

    Not for what waits for threads or other processes.
    """

    def __init__(self) -> None:
        self._still = _Still()
        super().__init__(self._still)

    def time(self) -> float:
        return self._still.now

    def skip(self, seconds: float) -> None:
        """Let time pass in which nobody does anything."""
        self._still.now += seconds

    def play(self, story: Coroutine[Any, Any, T]) -> T:
        """Run `story` to its end, once for each loop."""
        with asyncio.Runner(loop_factory=lambda: self) as runner:
            return runner.run(story)
