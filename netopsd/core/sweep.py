"""Looks at many devices at once: those that say nothing new are judged together.

Most looks find all as it was. Which ones do is told for a whole sweep in a few passes over its
numbers; those are noted without a look at each, and every other one is judged by itself, by the
very code that judges a single look. What comes of a sweep is what comes of its looks one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from netopsd.core import cause, rates, reach
from netopsd.core.beliefs import Alarm, Phase, Reach
from netopsd.core.fleet_rules import FleetRules
from netopsd.core.looks import Look, SweepLook, Swept
from netopsd.core.model import Sweep
from netopsd.core.world import World

# Alarms that any answer ends.
ENDED_BY_ANSWER = frozenset({cause.UNREACHABLE, *reach.SPOKEN.values(), reach.TOO_LONG_SILENT})


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A sweep as judged: `calm[i]` where nothing is new of member i. `at[i]` is when it was seen.

    What the others come to is put into `now` by `settle`.
    """

    now: SweepLook
    calm: list[bool]
    at: list[datetime]


def judge(world: World, sweep: Sweep) -> Judged:
    """Tell which members of `sweep` say nothing new."""
    fleet = sweep.fleet
    before = [world.looks.get(name) for name in fleet.names]
    last = _latest(before, sweep)
    at = _moments(sweep)
    thresholds = world.index.thresholds
    if last is None or last.rules.thresholds is not thresholds or reach.cut_off(world):
        rules = FleetRules.of(fleet, thresholds)
        restarted = np.full(len(fleet.names), -np.inf)
        now = SweepLook(sweep, rules, np.zeros(rules.count, np.bool_), restarted)
        return Judged(now, [False] * len(fleet.names), at)
    bad, calm = _compare(last, sweep)
    for i, known in enumerate(before):
        if calm[i]:
            calm[i] = (
                type(known) is Swept
                and known.now is last
                and known.i == i
                and at[i] > known.at
                and _quiet(world, fleet.names[i], last, (i, bad))
            )
    now = SweepLook(sweep, last.rules, last.bad.copy(), last.restarted_s.copy())
    return Judged(now, calm, at)


def _latest(before: Sequence[Look | Swept | None], sweep: Sweep) -> SweepLook | None:
    """Return the sweep that most of those seen now were seen in last. Others are judged singly."""
    seen: dict[int, SweepLook] = {}
    count: Counter[int] = Counter()
    for i in np.flatnonzero(sweep.present).tolist():
        known = before[i]
        if type(known) is Swept and known.now.sweep.fleet is sweep.fleet:
            seen[id(known.now)] = known.now
            count[id(known.now)] += 1
    return seen[count.most_common(1)[0][0]] if count else None


def _moments(sweep: Sweep) -> list[datetime]:
    """Return when each member was seen; many of them at the same moment."""
    known: dict[float, datetime] = {}
    told = []
    for when_s in sweep.when_s.tolist():
        at = known.get(when_s)
        if at is None:
            at = known[when_s] = sweep.at + timedelta(seconds=when_s - sweep.mono_s)
        told.append(at)
    return told


def _compare(last: SweepLook, sweep: Sweep) -> tuple[NDArray[np.bool_], list[bool]]:
    """Return which cells are bad now, and which members' numbers say nothing new."""
    fleet, was = sweep.fleet, last.sweep
    elapsed_s = sweep.when_s - was.when_s
    calm = sweep.present & (elapsed_s > 0)
    with np.errstate(invalid="ignore"):
        clocks = fleet.clocks[:3]
        restarted = rates.any_restarted(
            was.numbers[clocks], sweep.numbers[clocks], fleet.offered, elapsed_s
        )
    calm &= ~restarted
    bad = last.rules.judge(was.numbers, sweep.numbers, elapsed_s, last.bad)
    changed = bad != last.bad
    if changed.any():
        calm[last.rules.member[changed]] = False
    return bad, calm.tolist()


def _quiet(world: World, name: str, last: SweepLook, of: tuple[int, NDArray[np.bool_]]) -> bool:
    """Whether nothing else about a member waits for this look."""
    device = world.inventory.devices.get(name)
    if device is None or (device.sources and device.sources[0] != last.sweep.source):
        return False
    state = world.devices.get(name)
    if state is None or state.reach is not Reach.ANSWERING or state.missed:
        return False
    if world.waiting.get(name):
        return False
    i, bad = of
    return all(_stays(world.alarm(key), last, i, bad) for key in world.by_device.get(name) or ())


def _stays(alarm: Alarm | None, last: SweepLook, i: int, bad: NDArray[np.bool_]) -> bool:
    """Whether an alarm is one that this look neither ends nor counts."""
    if alarm is None or alarm.flapping or alarm.phase is not Phase.ACTIVE:
        return False
    if not alarm.resource.table:
        return alarm.alarm not in ENDED_BY_ANSWER
    parts = zip(last.sweep.fleet.members[i].parts, last.rules.parts[i], strict=True)
    for part, ruled in parts:
        if part.layout.table == alarm.resource.table:
            cell = ruled.cell(alarm.alarm, alarm.resource.row)
            return cell is None or (cell >= 0 and bool(bad[cell]))
    return True


def note(world: World, judged: Judged, i: int) -> None:
    """Take note of member `i`, of whom nothing is new."""
    name = judged.now.sweep.fleet.names[i]
    known = world.looks.get(name)
    beside = known.beside if isinstance(known, Swept) else None
    at = judged.at[i]
    at = at if beside is None else max(at, beside.at)
    world.looks[name] = Swept(judged.now, i, at, beside)


def settle(world: World, judged: Judged, i: int) -> None:
    """Let member `i`, which was judged by itself, be compared within sweeps from now on.

    That is not done where something about its rules has no place there.
    """
    now = judged.now
    sweep, name = now.sweep, now.sweep.fleet.names[i]
    known = world.looks.get(name)
    if not isinstance(known, Look):
        return
    seen = known.seen.get(sweep.source)
    if seen is None or seen.mono_s != float(sweep.when_s[i]):
        return  # older than what was known: not taken
    parts = list(zip(sweep.fleet.members[i].parts, now.rules.parts[i], strict=True))
    for part, ruled in parts:
        table = known.tables[part.layout.table]
        if table.table.layout is not part.layout or not ruled.keep(table.bad, now.bad):
            return
    now.restarted_s[i] = seen.restarted_s
    own = {part.layout.table for part, _ in parts}
    tables = {name: table for name, table in known.tables.items() if name not in own}
    others = {source: told for source, told in known.seen.items() if source != sweep.source}
    beside = Look(known.at, others, tables) if tables or others else None
    world.looks[name] = Swept(now, i, known.at, beside)
