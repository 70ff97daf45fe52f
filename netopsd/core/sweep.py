"""Looks at many devices at once: those that say nothing new are judged together.

Most looks find all as it was. Which ones do is told for a whole sweep in a few passes over its
numbers; those are noted without a look at each, and every other one is judged by itself, by the
very code that judges a single look. What comes of a sweep is what comes of its looks one by one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netopsd.core import cause, rates, reach
from netopsd.core.beliefs import Alarm, Phase, Reach
from netopsd.core.fleet import Fleet, moment
from netopsd.core.fleet_rules import FleetRules
from netopsd.core.index import Index
from netopsd.core.looks import Look, SweepLook, Swept
from netopsd.core.model import Sweep
from netopsd.core.world import Shelf, World

Bools = NDArray[np.bool_]

# Alarms that any answer ends.
ENDED_BY_ANSWER = frozenset({cause.UNREACHABLE, *reach.SPOKEN.values(), reach.TOO_LONG_SILENT})


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A sweep as judged: `calm[i]` where nothing is new of member i. `turns` are the members for
    whom something is to be done, in order. What that comes to is put into `now` by `settle`.

    `whole` says that most of the fleet was seen: then this is what its devices were seen in last.
    """

    now: SweepLook
    calm: Bools
    whole: bool
    turns: list[int]


def judge(world: World, sweep: Sweep) -> Judged:
    """Tell which members of `sweep` say nothing new."""
    fleet, index = sweep.fleet, world.index
    present = int(np.count_nonzero(sweep.present))
    whole = 2 * present >= len(fleet.names)
    last, joined, quiet = _latest(world, sweep, present)
    same = last is not None and last.rules.thresholds is index.thresholds
    if last is None or not same or reach.cut_off(world):
        rules = last.rules if last is not None and same else FleetRules.of(fleet, index.thresholds)
        nobody = np.zeros(len(fleet.names), np.bool_)
        now = SweepLook(
            sweep,
            rules,
            np.zeros(rules.count, np.bool_),
            np.full(len(fleet.names), -np.inf),
            nobody.copy(),
            nobody.copy(),
            index,
            _counted(fleet, index),
            last,
        )
        return Judged(now, nobody, whole, np.flatnonzero(sweep.present).tolist())
    bad, calm = _compare(last, sweep)
    calm &= joined
    for i in np.flatnonzero(calm & ~quiet).tolist():
        name = fleet.names[i]
        calm[i] = _quiet(world, name, last, (i, bad))
        quiet[i] = calm[i] and not world.by_device.get(name)
    now = SweepLook(
        sweep,
        last.rules,
        last.bad.copy(),
        last.restarted_s.copy(),
        calm & whole,
        quiet & calm & whole,
        index,
        last.counted if last.index is index else _counted(fleet, index),
        last,
    )
    todo = sweep.present & (~calm | now.counted)
    if not (whole and last is world.sweeps.get(fleet)):
        todo = sweep.present
    return Judged(now, calm, whole, np.flatnonzero(todo).tolist())


def _counted(fleet: Fleet, index: Index) -> Bools:
    """Return which members carry services or meters."""
    return np.array([n in index.resources or n in index.meters for n in fleet.names], np.bool_)


def _latest(world: World, sweep: Sweep, present: int) -> tuple[SweepLook | None, Bools, Bools]:
    """Return the sweep that most of those seen now were seen in last; who was, and of whom we know
    that nothing waits for this look. Others are judged singly."""
    fleet = sweep.fleet
    known = world.sweeps.get(fleet)
    nobody = np.zeros(len(fleet.names), np.bool_)
    if known is not None:
        joined, quiet = known.joined.copy(), known.quiet.copy()
        for i in _stirred(world, fleet):
            now = world.looks.get(fleet.names[i])
            joined[i] = isinstance(now, Swept) and (now.fleet, now.pinned) == (fleet, None)
            quiet[i] = False
        if 2 * int(np.count_nonzero(joined & sweep.present)) >= max(present, 1):
            return known, joined, quiet
    seen: dict[int, SweepLook] = {}
    members: defaultdict[int, list[int]] = defaultdict(list)
    for i in np.flatnonzero(sweep.present).tolist():
        one = world.looks.get(fleet.names[i])
        if isinstance(one, Swept) and one.fleet is fleet:
            last = world.sweep_of(one)
            seen[id(last)] = last
            members[id(last)].append(i)
    if not seen:
        return None, nobody, nobody
    most = max(members, key=lambda key: len(members[key]))
    joined = nobody.copy()
    joined[members[most]] = True
    return seen[most], joined, nobody


def _stirred(world: World, fleet: Fleet) -> set[int]:
    """Return the members something happened to in what is not believed yet."""
    found: set[int] = set()
    shelves: tuple[Shelf[str, Any], ...]
    shelves = (world.looks, world.devices, world.waiting, world.by_device)
    for shelf in shelves:
        layer = shelf
        while layer.under is not None:
            if layer.own:
                found.update(fleet.index[name] for name in layer.own.keys() & fleet.index.keys())
            layer = layer.under
    return found


def _compare(last: SweepLook, sweep: Sweep) -> tuple[Bools, Bools]:
    """Return which cells are bad now, and which members' numbers say nothing new."""
    fleet, was = sweep.fleet, last.sweep
    elapsed_s = sweep.when_s - was.when_s
    calm = sweep.present & (elapsed_s > 0) & _later(sweep, was)
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
    return bad, calm


def _later(sweep: Sweep, was: Sweep) -> Bools:
    """Return which members were seen later than before, as wall time goes (`fleet.moment`)."""
    apart_us = (sweep.at - was.at) / timedelta(microseconds=1)
    now_us = np.rint((sweep.when_s - sweep.mono_s) * 1e6) + apart_us
    later: Bools = now_us > np.rint((was.when_s - was.mono_s) * 1e6)
    return later


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


def latest(world: World, sweep: Sweep) -> datetime | None:
    """Return when the latest of those members was seen that are still configured."""
    when_s = np.where(sweep.present, sweep.when_s, -np.inf)
    for i in np.argsort(-when_s, kind="stable").tolist():
        if not sweep.present[i]:
            return None
        if sweep.fleet.names[i] in world.inventory.devices:
            return moment(sweep, i)
    return None


def enter(world: World, judged: Judged) -> None:
    """Make a sweep of most of a fleet the latest of it; who is not calm stays with the one before.

    Until its turn comes (`turn`), each member is as it was.
    """
    if not judged.whole:
        return
    fleet = judged.now.sweep.fleet
    before = world.sweeps.get(fleet)
    if before is not None:
        stay = before.joined & ~judged.calm
        for i in np.flatnonzero(stay).tolist():
            known = world.looks.get(fleet.names[i])
            if isinstance(known, Swept) and (known.fleet, known.pinned) == (fleet, None):
                world.looks[fleet.names[i]] = replace(known, pinned=before)
    world.sweeps[fleet] = judged.now


def note(world: World, judged: Judged, i: int) -> None:
    """Take note of member `i`, of whom nothing is new."""
    fleet = judged.now.sweep.fleet
    known = world.looks.get(fleet.names[i])
    pinned = None if judged.whole else judged.now
    if isinstance(known, Swept) and (known.fleet, known.pinned) != (fleet, pinned):
        world.looks[fleet.names[i]] = Swept(fleet, i, known.beside, pinned)


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
    now.joined[i] = judged.whole
    world.looks[name] = Swept(sweep.fleet, i, beside, None if judged.whole else now)
