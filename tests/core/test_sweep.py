"""Looks at many devices at once come to what the same looks come to one by one."""

from __future__ import annotations

import dataclasses
import gc
import random
import weakref
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netopsd.core import engine, sweep
from netopsd.core.beliefs import Alarm, AlarmType, Phase, Severity
from netopsd.core.fleet import Fleet, Grid, Member, Part, batches
from netopsd.core.inventory import Inventory, Policy, Take, Threshold
from netopsd.core.looks import SweepLook, Swept
from netopsd.core.model import (
    Acknowledge,
    Batch,
    Blind,
    Clocks,
    Event,
    Events,
    Input,
    Layout,
    Reconfigured,
    Resource,
    Sweep,
    Table,
    Tick,
)
from netopsd.core.outcome import Outcome
from netopsd.core.restore import restore
from netopsd.core.world import STORED, World
from tests.core.network import HOT, LINK_DOWN, T0, gold, inventory, port

NAMES = ("a", "b", "c", "d", "e", "f")
PORTS = ("p1", "p2", "p3")
ERRORS = Threshold(
    alarm="errors", table="if", column="ifInErrors", take=Take.DELTA, raise_above=200.0, hold_s=40.0
)
QUIET = Threshold(
    alarm="quiet", table="if", column="ifHCOutOctets", take=Take.RATE, raise_below=10.0,
    clear_at=20.0, only_rows="p1", severity=Severity.MINOR,
)  # fmt: skip
WARM = Threshold(alarm="warm", table="sensor", column="celsius", raise_above=60.0, clear_at=55.0)
TOLD = ("changes", "ticket_notes", "usage", "events", "notices", "verify", "violations")
RULES = (LINK_DOWN, HOT, ERRORS, QUIET, WARM)


def network() -> Inventory:
    """Six devices: c and d behind a port of b, services on a and b, meters on a."""
    services = [
        gold("s1", (port("a", "p1"),), meters=(port("a", "p1"),)),
        gold("s2", (port("a", "p2"), port("b", "p2")), (port("b", "p1"),)),
    ]
    up = {name: () for name in NAMES} | {"c": (port("b", "p3"),), "d": (port("b", "p3"),)}
    policy = Policy(checkpoint_s=60.0, unreachable_after=2, isolation_devices=4)
    return inventory(up, services=services, policy=policy, rules=RULES)


def member(name: str, epoch: int) -> Member:
    """One device: clocks, then the counters and gauges of `if`.

    f lacks two cells at every other epoch, e has sensors, d has one clock.
    """
    holey = name == "f" and epoch % 2 == 0
    layout = Layout(
        table="if", rows=PORTS, index=("1", "2", "3"), labels={"ifName": PORTS},
        counters=("ifHCInOctets", "ifHCOutOctets", "ifInErrors"), widths=(64, 64, 32),
        gauges=("ifOperStatus", "ifAdminStatus", "ifHighSpeed", "ifCounterDiscontinuityTime"),
        epoch=epoch,
    )  # fmt: skip
    clocks = {"sys_uptime_ticks": 0, "hr_uptime_ticks": 1, "engine_boots": 2}
    if name == "d":
        del clocks["hr_uptime_ticks"], clocks["engine_boots"]
    at = len(clocks)
    places = [n for n in range(9) if not holey or n not in (0, 5)]
    absent = np.ones((3, 3), np.bool_)
    absent.reshape(-1)[places] = False
    holes = (np.array(places, np.intp), absent) if holey else (None, None)
    counters = Grid(at, len(places), (3, 3), *holes)
    gauges = Grid(at + len(places), 12, (4, 3), None, None)
    parts = [Part(layout, counters, gauges)]
    if name == "e":
        sensor = Layout(
            table="sensor", rows=("t1", "t2"), index=("7", "8"), labels={}, counters=(), widths=(),
            gauges=("celsius",), epoch=epoch,
        )  # fmt: skip
        end = parts[0].end
        parts.append(
            Part(sensor, Grid(end, 0, (0, 2), None, None), Grid(end, 2, (1, 2), None, None))
        )
    return Member(
        device=name, size=parts[-1].end, parts=tuple(parts), clocks=clocks,
        facts={"sysName": name}, errors={"if.x": "noSuchName"} if name == "b" else {},
    )  # fmt: skip


class Told:
    """A world, and all that was told in it."""

    def __init__(self) -> None:
        self.world: World = restore(network())
        self.said: dict[str, list[Any]] = {name: [] for name in TOLD}

    def hear(self, said: Input) -> None:
        outcome = engine.decide(self.world, said)
        self.world.apply(outcome)
        self._keep(outcome)

    def flush(self) -> None:
        """Judge what waits: nothing does."""

    def _keep(self, outcome: Outcome) -> None:
        for name, kept in self.said.items():
            told = getattr(outcome, name)
            kept.extend(told.values() if isinstance(told, dict) else told)

    def stands(self) -> dict[str, Any]:
        """Return all beliefs, and what is waited for."""
        shelves = (*STORED, "pending", "by_device", "symptoms", "ticket_of", "states", "running")
        shelves = (*shelves, "raw", "told", "moments")
        return {name: dict(getattr(self.world, name).items()) for name in shelves}


class Grouped(Told):
    """One that judges several inputs on one draft before it believes anything, as the loop does."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Input] = []

    def hear(self, said: Input) -> None:
        self.waiting.append(said)

    def flush(self) -> None:
        """Judge what waits, and believe it."""
        draft = self.world.draft()
        for said in self.waiting:
            draft.apply(engine.decide(draft, said))
        self.waiting.clear()
        self.world.apply(draft.out)
        self._keep(draft.out)


class Story:
    """What the devices show, look after look."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.wild = self.dice.choice((0.1, 0.3, 1.0))  # how much happens
        self.at_s = self.seen_s = 0.0
        self.epoch = 0
        self.uptime = dict.fromkeys(NAMES, 360_000)
        self.boots = dict.fromkeys(NAMES, 3)
        self.shown: dict[str, list[int]] = {}
        self.enlist()

    def enlist(self) -> None:
        """Learn the devices anew."""
        self.epoch += 1
        self.order = self.dice.sample(NAMES, len(NAMES)) if self.epoch > 1 else list(NAMES)
        self.fleet = Fleet.of(tuple(member(name, self.epoch) for name in self.order))
        for one in self.fleet.members:
            known = self.shown.get(one.device, [0] * one.size)
            numbers = self.shown[one.device] = [*known, 0, 0][: one.size]
            gauges = one.parts[0].gauges.start
            numbers[gauges : gauges + 12] = [1, 1, 1, 1, 1, 1, 100, 100, 0, 5, 5, 5]

    def perhaps(self, chance: float) -> bool:
        return self.dice.random() < chance * self.wild

    def look(self) -> Sweep:
        """Return the next look at all of them; some are not seen, some restart."""
        dice = self.dice
        for one in self.fleet.members:
            self._go_on(one)
        self.seen_s = self.at_s
        n = len(NAMES)
        when = [self.at_s + dice.choice((0.0, 0.0, 0.25)) for _ in range(n)]
        numbers = [value for name in self.order for value in self.shown[name]]
        return Sweep(
            at=T0 + timedelta(seconds=self.at_s),
            mono_s=self.at_s,
            fleet=self.fleet,
            present=np.array([not self.perhaps(0.1) for _ in range(n)]),
            when_s=np.array(when),
            took_s=np.array([0.1] * n),
            numbers=np.array([*numbers, 0], np.uint64),
        )

    def _go_on(self, one: Member) -> None:
        dice, name, numbers = self.dice, one.device, self.shown[one.device]
        self.uptime[name] = (self.uptime[name] + int(self.at_s - self.seen_s) * 100) % 2**32
        counters = one.parts[0].counters
        if self.perhaps(0.03):
            self.uptime[name] = dice.choice((100, 2**32 - 1000))
            self.boots[name] += dice.choice((0, 1))
            if self.perhaps(0.7):
                numbers[counters.start : counters.start + counters.count] = [0] * counters.count
        clocks = (self.uptime[name], self.uptime[name], self.boots[name])
        numbers[: counters.start] = clocks[: counters.start]
        self._count(numbers, counters)
        self._states(numbers, one)

    def _count(self, numbers: list[int], counters: Grid) -> None:
        dice = self.dice
        for slot in range(counters.start, counters.start + counters.count):
            column = counters.place(slot) // 3
            most = 2**64 if column < 2 else 2**32
            grown = dice.choice((600, 5000, 10**6)) if column < 2 else dice.choice((0, 0, 40))
            if self.perhaps(0.1):
                grown = dice.choice((0, 250, 360 * 10**6, 10**12, most - 1))
            numbers[slot] = (numbers[slot] + grown) % most

    def _states(self, numbers: list[int], one: Member) -> None:
        dice, counters, gauges = self.dice, one.parts[0].counters, one.parts[0].gauges.start
        for row in range(3):
            if self.perhaps(0.06):
                numbers[gauges + row] = dice.choice((1, 2, 7))
            if self.perhaps(0.01):
                numbers[gauges + 3 + row] = dice.choice((1, 2))
            if self.perhaps(0.03):  # a discontinuity, and what would be errors without it
                numbers[gauges + 9 + row] += 1
                if one.device != "f":
                    numbers[counters.start + 6 + row] = dice.randrange(2**32)
        if len(one.parts) > 1:
            start = one.parts[1].gauges.start
            numbers[start] = dice.choice((57, 61)) if self.perhaps(0.4) else 50
            numbers[start + 1] = dice.choice((30, (-5) % 2**64))

    def others(self) -> Iterator[Input]:
        """What else is said before the next look."""
        dice, at = self.dice, T0 + timedelta(seconds=self.at_s)
        if self.perhaps(0.3):
            device, index = dice.choice(NAMES), dice.choice(("1", "2", "3"))
            name = f"1.3.6.1.6.3.1.1.5.{dice.choice((3, 3, 4))}"
            values = {f"1.3.6.1.2.1.2.2.1.1.{index}": index}
            event = Event(
                at=at, device=device, source="x", name=name, values=values,
                authenticated=dice.random() < 0.5,
            )  # fmt: skip
            yield Events(at=at, items=(event,))
        if self.perhaps(0.2):
            yield self._missed(dice.choice(NAMES))
        if self.perhaps(0.05):
            names = NAMES[: dice.randrange(4, 7)]
            for _ in range(2):
                self.at_s += 30
                yield from map(self._missed, names)
        if self.perhaps(0.1):
            yield self._sensor(dice.choice(("a", "e")))
        yield Tick(at, self.at_s)

    def _missed(self, device: str) -> Batch:
        why = self.dice.choice((Blind.UNREACHABLE, Blind.UNREACHABLE, Blind.REJECTED))
        at = T0 + timedelta(seconds=self.at_s)
        return Batch(device=device, at=at, mono_s=self.at_s, took_s=2.0, blind=why, why="none")

    def _sensor(self, device: str) -> Batch:
        """A look at what the sweep does not read."""
        layout = Layout(
            table="fan", rows=("1",), index=("1",), labels={}, counters=(), widths=(),
            gauges=("rpm",),
        )  # fmt: skip
        gauges = np.array([[float(self.dice.randrange(3000))]])
        return Batch(
            device=device, at=T0 + timedelta(seconds=self.at_s), mono_s=self.at_s,
            tables=(Table(layout, np.zeros((0, 1), np.uint64), gauges),),
            clocks=Clocks(sys_uptime_ticks=self.uptime[device]),
            source=self.dice.choice(("snmp", "netconf")),
        )  # fmt: skip


def play(seed: int, steps: int) -> tuple[Told, Told, int]:
    """Tell one story in sweeps and look by look; return both, and how many looks were calm.

    Every other one is told in groups of inputs that are judged before any of them is believed.
    """
    story, calm = Story(seed), 0
    together, alone = (Grouped(), Grouped()) if seed % 2 else (Told(), Told())
    before = seen_in(together.world)
    for _ in range(steps):
        for said in _step(story, alone):
            together.hear(said)
            for one in batches(said) if isinstance(said, Sweep) else [said]:
                alone.hear(one)
        if seed % 2 and story.dice.random() < 0.5:
            continue
        together.flush()
        alone.flush()
        calm += _calm(together, before)
        before = seen_in(together.world)
        assert together.said == alone.said
        assert together.stands() == alone.stands()
        _same_looks(together.world, alone.world)
    return together, alone, calm


def _step(story: Story, alone: Told) -> Iterator[Input]:
    """Give what is said from one look to the next; `alone` has heard what was said before."""
    story.at_s += 30.0
    if story.perhaps(0.05):
        story.enlist()
    if story.perhaps(0.1):
        yield Reconfigured(
            at=T0 + timedelta(seconds=story.at_s),
            inventory=dataclasses.replace(
                network(), thresholds=RULES[: story.dice.randrange(3, 6)]
            ),
        )
    yield story.look()
    yield from story.others()
    if story.perhaps(0.2) and (keys := list(alone.world.alarms.own)):
        at = T0 + timedelta(seconds=story.at_s + 1)
        yield Acknowledge(at=at, by="me", alarm=story.dice.choice(keys), undo=True)


def seen_in(world: World) -> dict[str, SweepLook | None]:
    """Return the sweep each device was seen in last."""
    known = {name: world.looks.get(name) for name in NAMES}
    return {n: world.sweep_of(k) if isinstance(k, Swept) else None for n, k in known.items()}


def _calm(told: Told, before: dict[str, SweepLook | None]) -> int:
    """Return how many devices were seen in two sweeps in a row, and not looked at in between."""
    after = seen_in(told.world)
    return sum(
        now is not None and was is not None and now is not was
        for now, was in ((after[name], before[name]) for name in NAMES)
    )


def _same_looks(one: World, other: World) -> None:
    for name in NAMES:
        a, b = one.look(name), other.look(name)
        assert (a is None) is (b is None)
        if a is None or b is None:
            continue
        assert (a.at, a.seen) == (b.at, b.seen)
        assert a.tables.keys() == b.tables.keys()
        for key, mine in a.tables.items():
            theirs = b.tables[key]
            assert (mine.at, mine.mono_s, mine.clocks) == (theirs.at, theirs.mono_s, theirs.clocks)
            assert mine.where == theirs.where
            np.testing.assert_array_equal(mine.bad, theirs.bad)
            np.testing.assert_array_equal(mine.table.counters, theirs.table.counters)
            np.testing.assert_array_equal(mine.table.gauges, theirs.table.gauges)


@pytest.mark.parametrize("seed", [*range(12), 131, 157, 229])
def test_a_long_story_is_judged_the_same(seed: int) -> None:
    together, _, calm = play(seed, 80)

    assert calm > 80, "many looks say nothing new, and are to be judged together"
    assert [c.why for c in together.said["changes"] if " is nan" in c.why] == []
    assert len(together.said["changes"]) > 5


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(100, 2**32))
def test_any_story_is_judged_the_same(seed: int) -> None:
    play(seed, 12)


class Both:
    """The same told in sweeps and look by look, of a network where nothing happens by itself."""

    def __init__(self) -> None:
        self.story, self.together, self.alone = Story(1), Told(), Told()
        self.story.wild = 0.0

    def seen(self, *seen: str) -> Sweep:
        """Return the next look at all, of whom only these are seen."""
        self.story.at_s += 30.0
        return dataclasses.replace(
            self.story.look(), present=np.array([name in seen for name in NAMES])
        )

    def sweep(self, *seen: str) -> None:
        sweep = self.seen(*seen)
        self.together.hear(sweep)
        for batch in batches(sweep):
            self.alone.hear(batch)

    def say(self, said: Input) -> None:
        self.together.hear(said)
        self.alone.hear(said)

    def same(self) -> bool:
        return self.together.said == self.alone.said and (
            self.together.stands() == self.alone.stands()
        )


def test_one_who_is_not_seen_leaves_the_others_calm() -> None:
    """Whoever it is, and whoever answers late and is told of in a sweep of its own."""
    for gone in NAMES:
        both = Both()
        others = [name for name in NAMES if name != gone]
        for _ in range(3):
            both.sweep(*NAMES)
        both.sweep(*others)
        judged = sweep.judge(both.together.world, both.seen(*others))
        assert [n for n, calm in zip(NAMES, judged.calm, strict=True) if calm] == others
        for _ in range(2):
            both.sweep(*others)
            both.sweep(gone)
        assert sweep.judge(both.together.world, both.seen(*others)).calm.sum() == 5
        assert sweep.judge(both.together.world, both.seen(gone)).calm.sum() == 1
        judged = sweep.judge(both.together.world, both.seen(*NAMES))
        assert [n for n, calm in zip(NAMES, judged.calm, strict=True) if calm] == others
        assert both.same()


def test_a_device_is_as_it_was_until_its_own_turn_comes() -> None:
    """After a long gap: when a is judged, b has not been seen yet, be it in the same sweep."""
    both = Both()
    for _ in range(3):
        both.sweep(*NAMES)
    told = len(both.alone.said["changes"])
    both.story.at_s += 3600.0
    for one in both.story.fleet.members:
        numbers, at = both.story.shown[one.device], one.parts[0].counters.start
        numbers[at : at + 6] = [octets + 10**8 for octets in numbers[at : at + 6]]

    both.sweep(*NAMES)

    assert both.same()
    assert len(both.alone.said["changes"]) == told
    periods = [p for _, p in both.alone.world.periods.items() if p.service == "s2"]
    assert periods and periods[0].unknown_s > 0


@pytest.mark.parametrize("seen", [NAMES[:5], ()])
def test_who_is_not_looked_at_for_long_is_missed_whoever_else_is_seen(
    seen: tuple[str, ...],
) -> None:
    both = Both()
    both.sweep(*NAMES)
    both.sweep(*NAMES)
    for _ in range(60):
        if seen:
            both.sweep(*seen)
        else:
            both.story.at_s += 30.0
        both.say(Tick(T0 + timedelta(seconds=both.story.at_s), both.story.at_s))

    missed = {c.alarm for c in both.alone.said["changes"] if "too-long-silence" in c.alarm}
    assert missed == {f"{name}!too-long-silence" for name in NAMES if name not in seen}
    assert both.same()


def test_who_is_no_longer_watched_keeps_no_sweep_in_memory() -> None:
    both = Both()
    both.sweep(*NAMES)
    both.sweep(*NAMES)
    assert len(both.together.world.sweeps) == 1
    at = T0 + timedelta(seconds=both.story.at_s)

    both.say(Reconfigured(at=at, inventory=inventory({"z": ()})))

    assert len(both.together.world.sweeps) == len(both.together.world.looks) == 0


def test_a_sweep_that_was_under_way_at_a_reload_is_nobodys() -> None:
    both = Both()
    both.sweep(*NAMES)
    both.sweep(*NAMES)
    at = T0 + timedelta(seconds=both.story.at_s)
    both.say(Reconfigured(at=at, inventory=inventory({"z": ()})))

    both.story.enlist()
    both.sweep(*NAMES)

    assert both.same(), "nor does it say that anybody answered"
    assert len(both.together.world.sweeps) == 0


def test_the_dead_keep_no_sweep_in_memory() -> None:
    both = Both()
    both.sweep(*NAMES)
    both.sweep(*NAMES)
    known = seen_in(both.together.world)["a"]
    assert known is not None
    numbers = weakref.ref(known.sweep.numbers)
    del known
    both.story.at_s += 1.0
    at = T0 + timedelta(seconds=both.story.at_s)
    both.say(Batch(device="a", at=at, mono_s=both.story.at_s, blind=Blind.UNREACHABLE))
    both.sweep(*NAMES[1:])
    gc.collect()

    assert numbers() is None
    assert both.same()
    _same_looks(both.together.world, both.alone.world)


def test_an_answer_of_one_device_ends_that_we_are_cut_off() -> None:
    both = Both()
    both.sweep(*NAMES)
    both.sweep(*NAMES)
    for _ in range(4):
        both.seen()
        at = T0 + timedelta(seconds=both.story.at_s)
        for name in NAMES[:4]:
            both.say(Batch(device=name, at=at, mono_s=both.story.at_s, blind=Blind.UNREACHABLE))
    assert any("poller-isolated" in c.alarm for c in both.alone.said["changes"])

    both.sweep("e")

    told = [c.what for c in both.alone.said["changes"] if "poller-isolated" in c.alarm]
    assert told == ["raised", "cleared"]
    assert both.same()


def test_an_answer_ends_the_alarm_that_a_device_is_unreachable_whatever_we_believed_of_it() -> None:
    both = Both()
    both.sweep(*NAMES)
    both.sweep(*NAMES)
    lost = Alarm(
        key="e!device-unreachable", resource=Resource("e"), alarm="device-unreachable",
        phase=Phase.ACTIVE, since=T0, changed_at=T0, raised_at=T0, occurrence=1, text="", why="",
        severity=Severity.MAJOR, type=AlarmType.COMMUNICATIONS, probable_cause="unknown",
    )  # fmt: skip
    for told in (both.together, both.alone):
        outcome = Outcome(alarms={lost.key: lost})
        outcome.private = {"by_device": {"e": frozenset({lost.key})}}
        told.world.apply(outcome)

    both.sweep("e")

    assert [c.what for c in both.alone.said["changes"]] == ["cleared"]
    assert both.same()


def test_a_sweep_of_nobody_changes_nothing() -> None:
    story, told = Story(1), Told()
    sweep = story.look()
    none = dataclasses.replace(sweep, present=np.zeros(len(NAMES), np.bool_))

    assert engine.decide(told.world, none) == Outcome(private={n: {} for n in _shelves(told)})


def _shelves(told: Told) -> tuple[str, ...]:
    return tuple(told.world.draft().out.private)
