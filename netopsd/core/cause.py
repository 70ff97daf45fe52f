"""Which alarm explains which: upstream suppression, one root cause per failure.

A device that cannot be reached because everything upstream of it is dead is a symptom. The room for
topology learnt from LLDP or routing is here: `dead_ends` is the only place that knows the graph.
"""

from __future__ import annotations

from datetime import datetime

from netopsd.core import attention
from netopsd.core.beliefs import Alarm, Phase, Reach, alarm_key
from netopsd.core.model import Resource
from netopsd.core.outcome import Verify
from netopsd.core.world import World

UNREACHABLE = "device-unreachable"
LINK_DOWN = "link-down"
_ROOTS = (UNREACHABLE, LINK_DOWN)
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
            seen_at = world.seen_at(up.device)
            if seen_at is None or seen_at <= since:
                return True
    return False


def follow(world: World, at: datetime) -> None:
    """Explain anew what this input may have changed: moved alarms' devices, and all behind."""
    moved = map(world.out.alarms.__getitem__, world.touched)
    todo = [alarm.resource.device for alarm in moved if alarm.alarm in _ROOTS]
    seen: set[str] = set()
    while todo:
        device = todo.pop(0)
        if device in seen:
            continue
        seen.add(device)
        _explain(world, device, at)
        todo += world.index.downstream.get(device, ())


def _explain(world: World, device: str, at: datetime, lift: bool = False) -> None:
    """Set what explains a device's silence. Only a later look may `lift` an explanation.

    When a root clears, what it explained is not news: each symptom is looked at again, and stands
    for itself only where it is still silent then.
    """
    alarm = active(world, unreachable_key(device))
    if alarm is None:
        _lift_if_cleared(world, unreachable_key(device), at)
        return
    root = root_of(world, device)
    above = active(world, root) if root else None
    if above is not None and above.root and not lift:
        root = above.root  # it waits to be seen again itself
    if root == alarm.root:
        return
    if not root and not lift:
        world.out.verify.append(Verify(device=device, after_s=0.0))
        return
    why = f"explained by {root}" if root else "what explained it has cleared, and it is still so"
    attention.explain(world, alarm, root, at, why)


def reconsider(world: World, device: str, at: datetime, began: datetime) -> None:
    """A silent device was looked at again, from `began` on: does what explained it still stand?"""
    alarm = active(world, unreachable_key(device))
    if alarm is None or not alarm.root:
        return
    root = world.alarms.get(alarm.root)
    if root is None or (root.phase is not Phase.ACTIVE and began > root.changed_at):
        _explain(world, device, at, lift=True)


def explain_anew(world: World, at: datetime) -> None:
    """Explain every silence by what is upstream now: the configuration changed."""
    for name in world.inventory.devices:
        alarm = active(world, unreachable_key(name))
        if alarm is not None and alarm.root != root_of(world, name):
            root = world.alarms.get(alarm.root) if alarm.root else None
            # What waits to be seen again since its root cleared goes on waiting.
            if root is None or root.phase is Phase.ACTIVE:
                _explain(world, name, at, lift=True)


def _lift_if_cleared(world: World, key: str, at: datetime) -> None:
    alarm = world.alarms.get(key)
    if alarm is not None and alarm.root:
        attention.explain(world, alarm, "", at, alarm.why)
