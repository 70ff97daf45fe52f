"""Our time never goes backwards, whoever sets the machine's clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from netopsd.clock import SystemClock
from tests.core.network import T0


@dataclass
class Machine:
    """A machine whose wall clock people set and whose monotonic clock they cannot."""

    wall: datetime = T0
    mono: float = 1000.0

    def pass_(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.mono += seconds

    def clock(self) -> SystemClock:
        return SystemClock(lambda: self.wall, lambda: self.mono)


def test_time_passes_as_it_should() -> None:
    machine = Machine()
    clock = machine.clock()
    for _ in range(100):
        machine.pass_(0.7)
    assert abs(clock.now() - machine.wall) < timedelta(milliseconds=1)


def test_an_hour_back_is_ignored_until_real_time_catches_up() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.pass_(10)
    before = clock.now()
    machine.wall -= timedelta(hours=1)
    machine.pass_(10)
    assert clock.now() == before + timedelta(seconds=10)
    assert clock.stepped_s < -3000


def test_an_hour_forward_is_followed_and_noted() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += timedelta(hours=1)
    machine.pass_(10)
    assert abs(clock.now() - machine.wall) < timedelta(seconds=1)
    assert clock.stepped_s > 3000


def test_small_differences_are_worked_off_slowly() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += timedelta(seconds=2)
    seen = []
    for _ in range(10):
        machine.pass_(10)
        seen.append((machine.wall - clock.now()).total_seconds())
    assert seen == sorted(seen, reverse=True)
    assert 1.9 < seen[0] < 2.0


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(-(10**7), 10**7))))
def test_whatever_happens_to_the_wall_clock_time_never_goes_back(
    steps: list[tuple[float, int]],
) -> None:
    machine = Machine()
    clock = machine.clock()
    last = clock.now()
    for passed, step in steps:
        machine.pass_(passed)
        machine.wall += timedelta(seconds=step)
        now = clock.now()
        assert now >= last
        last = now
