"""Turns come in their time and stay where they are, whatever is reloaded or set back."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import apscheduler.schedulers.base
import pytest

from netopsd import turns
from netopsd.clock import SystemClock
from netopsd.core.inventory import Device
from netopsd.turns import Turn, Turns, begin_of, phase_of, phases

INTERVAL_S = 0.6


def fleet(count: int, interval_s: float = INTERVAL_S) -> dict[str, Device]:
    return {f"d{n}": Device(name=f"d{n}", interval_s=interval_s) for n in range(count)}


def taken(
    seconds: float,
    every_s: float,
    do: Callable[[Turns], None] = lambda turns: None,
    clock: SystemClock | None = None,
) -> dict[str, list[float]]:
    """Return when each device had its turns, `do` being done every so often meanwhile."""
    at: dict[str, list[float]] = defaultdict(list)

    def take(turn: Turn) -> None:
        now = time.monotonic()
        if not at[turn.names[0]]:
            assert abs(now - turn.due_s) < INTERVAL_S / 2
        for name in turn.names:
            at[name].append(now)

    async def go() -> None:
        made = Turns(clock or SystemClock(), take)
        made.start()
        made.follow(fleet(40))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(every_s)
            do(made)
        made.stop()
        count = sum(map(len, at.values()))
        await asyncio.sleep(INTERVAL_S)
        assert sum(map(len, at.values())) == count, "stopped is stopped"

    asyncio.run(go())
    return at


def gaps(at: dict[str, list[float]]) -> list[float]:
    return [two - one for times in at.values() for one, two in itertools.pairwise(times)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six phases an interval, four intervals a round."""
    monkeypatch.setattr(turns, "PHASES_PER_S", 10)
    monkeypatch.setattr(turns, "ROUND_S", 2.3)


def test_every_device_has_a_turn_once_an_interval_and_not_all_at_once() -> None:
    at = taken(4.0, 1.0)

    assert len(at) == 40
    assert all(0.2 * INTERVAL_S < gap < 1.8 * INTERVAL_S for gap in gaps(at))
    average = sum(gaps(at)) / len(gaps(at))
    assert average == pytest.approx(INTERVAL_S, rel=0.05)
    firsts = {round(times[0], 1) for times in at.values()}
    assert len(firsts) >= 4, "spread over the phases"


def test_a_reload_moves_nobodys_turn() -> None:
    """However often SIGHUP comes, a device is looked at once an interval."""
    at = taken(4.0, 0.07, lambda turns: turns.follow(fleet(40)))

    assert len(at) == 40
    assert all(0.2 * INTERVAL_S < gap < 1.8 * INTERVAL_S for gap in gaps(at))
    assert sum(gaps(at)) / len(gaps(at)) == pytest.approx(INTERVAL_S, rel=0.05)


class Machine(datetime):
    """The machine's clock, as APScheduler and we read it, and as somebody sets it."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.ahead


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> type[Machine]:
    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Machine)
    monkeypatch.setattr(Machine, "ahead", timedelta())
    return Machine


def test_a_machine_whose_clock_is_set_back_looks_on(machine: type[Machine]) -> None:
    began = time.monotonic()

    def set_back(_: Turns) -> None:
        if time.monotonic() - began > 1.2:
            machine.ahead = timedelta(hours=-1)

    at = taken(4.0, 0.1, set_back, SystemClock(lambda: machine.now(UTC)))

    assert max(gaps(at)) < 2.5 * INTERVAL_S
    assert all(times[-1] > began + 4.0 - 1.5 * INTERVAL_S for times in at.values())


def test_a_machine_whose_clock_is_set_forward_leaves_nobody_out(machine: type[Machine]) -> None:
    began = time.monotonic()

    def set_forward(_: Turns) -> None:
        if time.monotonic() - began > 2.2:
            machine.ahead = timedelta(seconds=1)

    at = taken(6.0, 0.1, set_forward, SystemClock(lambda: machine.now(UTC)))

    assert max(gaps(at)) < 1.8 * INTERVAL_S
    assert min(gaps(at)) > 0.2 * INTERVAL_S


def test_turns_missed_while_the_loop_stood_still_are_taken_once() -> None:
    stood = []

    def stand_still(_: Turns) -> None:
        if not stood:
            stood.append(time.monotonic())
            time.sleep(5 * INTERVAL_S)

    at = taken(5.5, 2.0, stand_still)

    again = stood[0] + 5 * INTERVAL_S
    soon = [sum(again - 0.05 < t < again + 0.05 for t in times) for times in at.values()]
    assert max(soon) == 1
    assert min(gaps(at)) > 0.2 * INTERVAL_S
    assert all(times[-1] > again + 0.2 for times in at.values()), "and they go on"


def test_rounds_stay_where_they_are() -> None:
    for now in (0.0, 0.1, 29.9):
        assert begin_of(30.0, 0.0, now) == 0.0
    assert begin_of(30.0, 0.0, 30.0) == 30.0
    assert begin_of(30.0, 7.0, 6.9) == -23.0
    assert begin_of(30.0, 7.0, 6001.7) == 5977.0


def test_ten_thousand_devices_are_spread_evenly_over_the_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "PHASES_PER_S", 1)
    counts: dict[int, int] = {}
    for n in range(10_000):
        phase = phase_of(Device(name=f"device-{n}", interval_s=30))
        counts[phase] = counts.get(phase, 0) + 1

    many = phases(30)
    assert many == 30
    assert len(counts) == many
    assert max(counts.values()) < 1.3 * 10_000 / many
