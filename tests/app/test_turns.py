"""Turns come in their time and stay where they are, whatever is reloaded or set back."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta

import pytest

from netopsd import turns
from netopsd.core.inventory import Device
from netopsd.turns import Turn, Turns, begin_of, phase_of, phases
from tests.app.machine import Machine, clock

INTERVAL_S = 0.6


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, machine: type[Machine]) -> None:
    """Six phases an interval, four intervals a round, and no second is waited for."""
    monkeypatch.setattr(turns, "PHASES_PER_S", 10)
    monkeypatch.setattr(turns, "ROUND_S", 2.3)


def fleet(count: int, interval_s: float = INTERVAL_S) -> dict[str, Device]:
    return {f"d{n}": Device(name=f"d{n}", interval_s=interval_s) for n in range(count)}


def taken(
    seconds: float,
    every_s: float,
    do: Callable[[Turns, float], None] = lambda turns, passed_s: None,
) -> dict[str, list[float]]:
    """Return when each device had its turns, `do` being done every so often meanwhile."""
    at: dict[str, list[float]] = defaultdict(list)
    loop = Machine.loop
    began = loop.time()

    def take(turn: Turn) -> None:
        now = loop.time()
        if not at[turn.names[0]]:
            assert abs(now - turn.due_s) < INTERVAL_S / 2
        for name in turn.names:
            at[name].append(now - began)

    async def go() -> None:
        made = Turns(clock(), take)
        made.start()
        made.follow(fleet(40))
        while loop.time() < began + seconds:
            await asyncio.sleep(every_s)
            do(made, loop.time() - began)
        made.stop()
        count = sum(map(len, at.values()))
        await asyncio.sleep(INTERVAL_S)
        assert sum(map(len, at.values())) == count, "stopped is stopped"

    loop.play(go())
    return at


def gaps(at: dict[str, list[float]]) -> list[float]:
    return [two - one for times in at.values() for one, two in itertools.pairwise(times)]


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
    at = taken(4.0, 0.07, lambda turns, _: turns.follow(fleet(40)))

    assert len(at) == 40
    assert all(0.2 * INTERVAL_S < gap < 1.8 * INTERVAL_S for gap in gaps(at))
    assert sum(gaps(at)) / len(gaps(at)) == pytest.approx(INTERVAL_S, rel=0.05)


# When in a round it happens makes a difference; none takes any time here.
at_any_time = pytest.mark.parametrize("when_s", [1.0, 1.3, 1.6, 1.9, 2.2, 2.5, 2.8, 3.1, 3.4])


@at_any_time
def test_a_machine_whose_clock_is_set_back_looks_on(when_s: float) -> None:
    def set_back(_: Turns, passed_s: float) -> None:
        if passed_s > when_s:
            Machine.ahead = timedelta(hours=-1)

    at = taken(7.0, 0.1, set_back)

    assert max(gaps(at)) < 2.5 * INTERVAL_S
    assert all(times[-1] > 7.0 - 1.5 * INTERVAL_S for times in at.values())


@at_any_time
def test_a_machine_whose_clock_is_set_forward_leaves_nobody_out(when_s: float) -> None:
    def set_forward(_: Turns, passed_s: float) -> None:
        if passed_s > when_s:
            Machine.ahead = timedelta(seconds=1)

    at = taken(7.0, 0.1, set_forward)

    assert max(gaps(at)) < 1.8 * INTERVAL_S
    assert min(gaps(at)) > 0.2 * INTERVAL_S


@at_any_time
def test_turns_missed_while_the_loop_stood_still_are_taken_once(when_s: float) -> None:
    stood = []

    def stand_still(_: Turns, passed_s: float) -> None:
        if passed_s > when_s and not stood:
            stood.append(passed_s)
            Machine.loop.skip(5 * INTERVAL_S)

    at = taken(9.0, 0.1, stand_still)

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
