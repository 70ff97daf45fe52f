"""Which alarm explains which: upstream suppression, one root cause per failure.

A device that cannot be reached because everything upstream of it is dead is a symptom. The room for
topology learnt from LLDP or routing is here: `dead_ends` is the only place that knows the graph.
"""

from __future__ import annotations

from datetime import datetime

from netopsd.core import alarm as alarms
from netopsd.core.beliefs import Alarm, Phase, Reach, alarm_key
from netopsd.core.model import Resource
from netopsd.core.world import World

UNREACHABLE = "device-unreachable"
LINK_DOWN = "link-down"
DEEPEST = 64  # no network is deeper; a cycle in `upstream` is refused by the settings anyway


def unreachable_key(device: str) -> str:
    """Return the key of the alarm that says `device` does not answer."""
    return alarm_key(Resource(device), UNREACHABLE)


def active(world: World, key: str) -> Alarm | None:
    """Return the alarm where it is active, else None."""
    alarm = world.alarms.get(key)
    return alarm if alarm is not None and alarm.phase is Phase.ACTIVE else None


def dead_ends(world: World, device: str) -> tuple[str, ...]:
    """Return the alarms that cut `device` off, one per upstream entry; () where one is alive."""
    configured = world.inventory.devices.get(device)
    found: list[str] = []
    for up in configured.upstream if configured else ():
        culprit = active(world, unreachable_key(up.device))
        if culprit is None and up.table:
            culprit = active(world, alarm_key(up, LINK_DOWN))
        if culprit is None:
            return ()
        found.append(culprit.key)
    return tuple(found)


def root_of(world: World, device: str) -> str:
    """Return the key of the alarm at the top of what cuts `device` off, "" for none."""
    key, name = "", device
    for _ in range(DEEPEST):
        ends = dead_ends(world, name)
        if not ends:
            return key
        key = ends[0]
        culprit = world.alarms[key]
        if culprit.alarm != UNREACHABLE:
            return key
        name = culprit.resource.device
    return key


def upstream_undecided(world: World, device: str, since: datetime) -> bool:
    """Whether something upstream may yet turn out to be the cause of silence since `since`.

    A silent device upstream is undecided; so is a port whose device has not answered since.
    """
    configured = world.inventory.devices.get(device)
    for up in configured.upstream if configured else ():
        state = world.devices.get(up.device)
        if state is not None and state.reach is Reach.SILENT:
            return True
        if up.table and state is not None and state.reach is Reach.ANSWERING:
            look = world.looks.get(up.device)
            if look is None or look.at <= since:
                return True
    return False


def follow(world: World, at: datetime) -> None:
    """Explain anew what this input may have changed: moved alarms' devices, and all behind."""
    todo: list[str] = []
    for key in tuple(world.touched):
        alarm = world.alarms[key]
        if alarm.alarm in (UNREACHABLE, LINK_DOWN):
            todo.append(alarm.resource.device)
    seen: set[str] = set()
    while todo:
        device = todo.pop(0)
        if device in seen:
            continue
        seen.add(device)
        _explain(world, device, at)
        todo += world.index.downstream.get(device, ())


def _explain(world: World, device: str, at: datetime) -> None:
    alarm = active(world, unreachable_key(device))
    if alarm is None:
        _lift_if_cleared(world, unreachable_key(device), at)
        return
    root = root_of(world, device)
    if root == alarm.root:
        return
    why = f"explained by {root}" if root else "what explained it has cleared; it stands for itself"
    alarms.explain(world, alarm, root, at, why)


def _lift_if_cleared(world: World, key: str, at: datetime) -> None:
    alarm = world.alarms.get(key)
    if alarm is not None and alarm.root:
        alarms.explain(world, alarm, "", at, alarm.why)
