"""Whether a device answers, whether it is we who are cut off, and who says so when."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from netopsd.core import alarm as alarms
from netopsd.core import cause, outage
from netopsd.core.alarm import OURSELVES, Seen, Sight
from netopsd.core.beliefs import AlarmType, DeviceState, Phase, Reach, Severity, State, alarm_key
from netopsd.core.inventory import Device
from netopsd.core.model import Batch, Blind, Resource
from netopsd.core.values import replace
from netopsd.core.world import World

ISOLATED = "poller-isolated"
REFUSED = "access-refused"
UNREADABLE = "answers-unreadable"
TOO_LONG_SILENT = "too-long-silence"
SESSION_LOST = "session-lost"
ISOLATED_KEY = alarm_key(OURSELVES, ISOLATED)
SPOKEN = {Blind.REJECTED: REFUSED, Blind.MALFORMED: UNREADABLE}


def answered(world: World, device: Device, batch: Batch) -> None:
    """Take note that a device was seen."""
    heard(world, batch.at)
    if beside(device, batch):
        _good(world, device.name, SESSION_LOST, batch.at, "it answers again", batch.source)
        return
    _end_isolation(world, batch.at)
    was = world.devices.get(device.name) or DeviceState(name=device.name)
    if was.reach is not Reach.ANSWERING or was.missed:
        world.devices[device.name] = replace(
            was,
            reach=Reach.ANSWERING,
            since=batch.at if was.reach is not Reach.ANSWERING else was.since,
            missed=0,
            first_missed_at=None,
            answered_at=batch.at,
            blind="",
        )
    # At every look: an alarm may have outlasted the change of state that should have ended it.
    if world.by_device.get(device.name):
        for name in (cause.UNREACHABLE, *SPOKEN.values(), TOO_LONG_SILENT):
            _good(world, device.name, name, batch.at, "it answers again")


def cut_off(world: World) -> bool:
    """Whether we believe that it is we who are cut off: then any answer is news."""
    alarm = cause.active(world, ISOLATED_KEY)
    return alarm is not None and not (alarm.flapping and world.raw.get(alarm.key) == Seen.GOOD)


def beside(device: Device, batch: Batch) -> bool:
    """Whether this look was not by the device's first source, which alone says if it answers."""
    return bool(device.sources) and batch.source != device.sources[0]


def _good(
    world: World, device: str, name: str, at: datetime, why: str, qualifier: str = ""
) -> None:
    key = alarm_key(Resource(device), name, qualifier)
    if cause.active(world, key) is not None or world.pending.get(key):
        sight = Sight(resource=Resource(device), alarm=name, qualifier=qualifier, why=why, at=at)
        alarms.see(world, Seen.GOOD, sight)


def _lost_beside(world: World, device: Device, batch: Batch) -> None:
    """A second way of looking fails: an alarm of its own, and nobody's outage."""
    alarms.see(
        world,
        Seen.BAD,
        Sight(
            resource=Resource(device.name),
            alarm=SESSION_LOST,
            qualifier=batch.source,
            type=AlarmType.COMMUNICATIONS,
            severity=Severity.MINOR,
            probable_cause="communicationsSubsystemFailure",
            text=f"{device.name} cannot be looked at by {batch.source}",
            why=f"{batch.blind}: {batch.why}",
            at=batch.at,
            hold_s=world.inventory.policy.unreachable_after * device.interval_s,
        ),
    )


def heard(world: World, at: datetime) -> None:
    """Somebody answered at `at`; a look that arrives late says nothing newer than we know."""
    known = world.moments.get("answer")
    if known is None or at > known:
        world.moments["answer"] = at


def missed(world: World, device: Device, batch: Batch) -> None:
    """Take note of a look that saw nothing."""
    if batch.blind is Blind.SKIPPED or batch.blind is None:
        return
    if beside(device, batch):
        _lost_beside(world, device, batch)
        return
    # A look that saw nothing failed when it was begun, not when we gave up waiting.
    began = batch.at - timedelta(seconds=batch.took_s)
    rejoined = world.moments.get("rejoined")
    if rejoined is not None and began < rejoined and batch.blind is Blind.UNREACHABLE:
        return  # begun while we were cut off: that proves nothing
    was = world.devices.get(device.name) or DeviceState(name=device.name)
    if batch.blind is not Blind.UNREACHABLE:
        _refused(world, device, was, batch)
        return
    state = replace(
        was,
        # Refusals before it were answers.
        missed=was.missed + 1 if was.reach is not Reach.ANSWERING else 1,
        first_missed_at=was.first_missed_at or began,
        blind=batch.blind.value,
        reach=was.reach if was.reach is Reach.UNREACHABLE else Reach.SILENT,
        since=was.since if was.reach in (Reach.SILENT, Reach.UNREACHABLE) else batch.at,
    )
    world.devices[device.name] = state
    if state.reach is Reach.SILENT:
        _confirm(world, device, state, batch)
    else:
        _still_lost(world, state, batch)
        cause.reconsider(world, device.name, batch.at, began)


def _still_lost(world: World, state: DeviceState, batch: Batch) -> None:
    """Say again what rests on an unreachable device.

    After a restart nothing is known of it; nor is once we were cut off, until a look fails anew.
    """
    known = [world.states.get(r) for r in world.index.resources.get(state.name, ())]
    since = state.first_missed_at or batch.at
    if cut_off(world):
        if None in known:
            outage.lose_device(world, state.name, State.UNKNOWN, since, batch.at, outage.CUT_OFF)
    elif any(one is None or one.why == outage.CUT_OFF for one in known):
        why = "its device is unreachable"
        outage.lose_device(world, state.name, State.DOWN, since, batch.at, why)


def _refused(world: World, device: Device, was: DeviceState, batch: Batch) -> None:
    """It speaks, but not to us: alive, and yet we see nothing of it."""
    blind = batch.blind or Blind.MALFORMED
    heard(world, batch.at)
    _end_isolation(world, batch.at)
    state = replace(
        was,
        reach=Reach.ANSWERING,
        missed=was.missed + 1 if was.reach is Reach.ANSWERING else 1,
        first_missed_at=None,
        blind=blind.value,
        since=was.since if was.reach is Reach.ANSWERING else batch.at,
    )
    world.devices[device.name] = state
    _good(world, device.name, cause.UNREACHABLE, batch.at, "it answers, though we cannot read it")
    if state.missed >= world.inventory.policy.unreachable_after:
        alarms.see(
            world,
            Seen.BAD_FOR_LONG,
            Sight(
                resource=Resource(device.name),
                alarm=SPOKEN[blind],
                type=AlarmType.SECURITY if blind is Blind.REJECTED else AlarmType.PROCESSING,
                severity=Severity.MAJOR,
                probable_cause="unauthorizedAccessAttempt"
                if blind is Blind.REJECTED
                else "corruptData",
                text=f"{device.name}: {batch.why or blind.value}",
                why=f"{state.missed} looks in a row were {blind.value}: {batch.why}",
                at=batch.at,
            ),
        )


def _confirm(world: World, device: Device, state: DeviceState, batch: Batch) -> None:
    """Say that a silent device is unreachable, once nothing else can explain the silence."""
    policy = world.inventory.policy
    first = state.first_missed_at
    if state.missed < policy.unreachable_after or first is None:
        return
    alone = _nobody_answers(world, first)
    if cut_off(world) or (alone and _most_are_silent(world)):
        _isolate(world, device.name, first, batch.at)
        return
    patience = 2 * policy.unreachable_after
    undecided = alone or cause.upstream_undecided(world, device.name, first)
    if state.missed < patience and undecided:
        return
    world.devices[device.name] = replace(state, reach=Reach.UNREACHABLE, since=first)
    alarms.see(
        world,
        Seen.BAD_FOR_LONG,
        Sight(
            resource=Resource(device.name),
            alarm=cause.UNREACHABLE,
            severity=policy.unreachable_severity,
            probable_cause="communicationsSubsystemFailure",
            text=f"{device.name} does not answer",
            why=f"no answer to {state.missed} looks since {first:%H:%M:%SZ}: {batch.why}",
            at=batch.at,
        ),
    )
    outage.lose_device(world, device.name, State.DOWN, first, batch.at, "its device is unreachable")


def _nobody_answers(world: World, since: datetime) -> bool:
    if len(world.inventory.devices) < world.inventory.policy.isolation_devices:
        return False
    answer = world.moments.get("answer")
    return answer is None or answer < since


def _most_are_silent(world: World) -> bool:
    """Whether so many are silent that it must be we. One device says nothing of the others."""
    devices = world.inventory.devices
    enough = max(world.inventory.policy.isolation_devices, (len(devices) + 1) // 2)
    lost = sum(
        1
        for name in devices
        if (state := world.devices.get(name)) is not None
        and state.reach in (Reach.SILENT, Reach.UNREACHABLE)
    )
    return lost >= enough


def _isolate(world: World, device: str, first: datetime, at: datetime) -> None:
    """It is we who are cut off: one alarm about ourselves, and nobody's outage."""
    if cut_off(world):
        outage.lose_device(world, device, State.UNKNOWN, first, at, outage.CUT_OFF)
        return
    count = len(world.inventory.devices)
    alarms.see(
        world,
        Seen.BAD_FOR_LONG,
        Sight(
            resource=OURSELVES,
            alarm=ISOLATED,
            severity=Severity.CRITICAL,
            probable_cause="lossOfSignal",
            text="netopsd is cut off from the network",
            why=f"none of {count} devices has answered within one cycle",
            at=at,
            source="self",
        ),
    )
    # What was down before may be so still, or not: nobody has seen that since the last answer.
    answer = world.moments.get("answer") or at
    for name, state in tuple(world.devices.items()):
        since = answer if state.reach is Reach.UNREACHABLE else state.first_missed_at
        if state.reach in (Reach.SILENT, Reach.UNREACHABLE) and since is not None:
            outage.lose_device(world, name, State.UNKNOWN, since, at, outage.CUT_OFF)


def _end_isolation(world: World, at: datetime) -> None:
    if not cut_off(world):
        return
    world.moments["rejoined"] = at
    sight = Sight(resource=OURSELVES, alarm=ISOLATED, why="devices answer again", at=at)
    alarms.see(world, Seen.GOOD, sight)
    for name, state in tuple(world.devices.items()):
        if state.reach in (Reach.SILENT, Reach.UNREACHABLE):
            # Silence while we were cut off proves nothing: each device is judged afresh.
            world.devices[name] = replace(state, missed=0, first_missed_at=None)


def _seen_since(world: World, since: datetime) -> set[str]:
    """Return devices of which a sweep tells that they were seen since then: mostly all of them."""
    found: set[str] = set()
    for fleet, now in world.sweeps.items():
        sweep = now.sweep
        since_s = sweep.mono_s + (since - sweep.at).total_seconds()
        lately = now.joined & (sweep.when_s >= since_s)
        found.update(fleet.names[i] for i in np.flatnonzero(lately).tolist())
    return found


def watch_silence(world: World, at: datetime) -> None:
    """Raise too-long-silence for devices nobody has looked at (our own fault, so said once)."""
    limit = world.inventory.policy.silent_after_s
    began = world.moments.get("began") or at
    lately = _seen_since(world, at - timedelta(seconds=limit))
    for name, device in world.inventory.devices.items():
        if name in lately:
            continue
        state = world.devices.get(name)
        if state is not None and state.reach is Reach.UNREACHABLE:
            continue
        quiet = (at - (world.seen_at(name) or began)).total_seconds()
        if quiet <= max(limit, 3 * device.interval_s):
            continue
        known = world.alarms.get(alarm_key(Resource(name), TOO_LONG_SILENT))
        if known is not None and known.phase is Phase.ACTIVE:
            continue
        alarms.see(
            world,
            Seen.BAD_FOR_LONG,
            Sight(
                resource=Resource(name),
                alarm=TOO_LONG_SILENT,
                type=AlarmType.PROCESSING,
                severity=Severity.WARNING,
                probable_cause="receiveFailure",
                text=f"nothing has been seen of {name} for {quiet:.0f} s",
                why=f"no look has succeeded for {quiet:.0f} s, and it is not known unreachable",
                at=at,
                source="self",
            ),
        )
