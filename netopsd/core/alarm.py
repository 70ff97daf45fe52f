"""How an alarm moves. The table is the whole truth of raising and clearing (RFC 8632 section 2.4).

Clearing is the instrumentation's word; what people, plans and other alarms make of
one is on axes of its own (attention.py). Every change is kept with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from netopsd.core import agenda, copies, flap
from netopsd.core.beliefs import Alarm, AlarmType, Phase, Severity, alarm_key
from netopsd.core.inventory import Policy
from netopsd.core.model import Resource
from netopsd.core.values import replace
from netopsd.core.world import World

OURSELVES = Resource("netopsd")


class Seen(StrEnum):
    """What one look says about one alarm."""

    BAD = "bad"
    BAD_FOR_LONG = "bad for long"  # held long enough, or told by an event
    GOOD = "good"
    NOTHING = "nothing"  # we could not look


NEXT: dict[tuple[Phase, Seen], Phase] = {
    (Phase.CLEARED, Seen.BAD): Phase.PENDING,
    (Phase.CLEARED, Seen.BAD_FOR_LONG): Phase.ACTIVE,
    (Phase.CLEARED, Seen.GOOD): Phase.CLEARED,
    (Phase.CLEARED, Seen.NOTHING): Phase.CLEARED,
    (Phase.PENDING, Seen.BAD): Phase.PENDING,
    (Phase.PENDING, Seen.BAD_FOR_LONG): Phase.ACTIVE,
    (Phase.PENDING, Seen.GOOD): Phase.CLEARED,
    (Phase.PENDING, Seen.NOTHING): Phase.PENDING,
    (Phase.ACTIVE, Seen.BAD): Phase.ACTIVE,
    (Phase.ACTIVE, Seen.BAD_FOR_LONG): Phase.ACTIVE,
    (Phase.ACTIVE, Seen.GOOD): Phase.CLEARED,
    # Not seeing is not recovery: a dead device cannot report its dead links.
    (Phase.ACTIVE, Seen.NOTHING): Phase.ACTIVE,
}


@dataclass(slots=True, kw_only=True, eq=False)
class Sight:
    """One thing one look (or event) says about one possible alarm.

    Not frozen, as it lives for one judgement and a frozen one costs thrice as much to make.
    """

    resource: Resource
    alarm: str
    qualifier: str = ""
    type: AlarmType = AlarmType.COMMUNICATIONS
    severity: Severity = Severity.MAJOR
    probable_cause: str = "unknown"
    text: str = ""
    why: str
    at: datetime
    hold_s: float = 0.0
    source: str = "poll"
    times: int = 1
    key: str = ""  # drawn from the three that make it, where it is not known already

    def __post_init__(self) -> None:
        if not self.key:
            self.key = alarm_key(self.resource, self.alarm, self.qualifier)


def see(world: World, seen: Seen, sight: Sight) -> None:
    """Move the alarm that `sight` speaks of as the table says."""
    move(world, world.alarm(sight.key), seen, sight)


def move(world: World, known: Alarm | None, seen: Seen, sight: Sight) -> None:
    """Do as `see` where the alarm is `known` already (None: there was never one)."""
    if known is not None and known.phase is Phase.ACTIVE:
        _see_active(world, known, seen, sight)
        return
    key = sight.key
    pending = world.pending.get(key) or None
    phase = Phase.PENDING if pending is not None else Phase.CLEARED
    if seen is Seen.BAD:
        since = pending.since if pending is not None else sight.at
        if (sight.at - since).total_seconds() >= sight.hold_s:
            seen = Seen.BAD_FOR_LONG
    after = NEXT[phase, seen]
    if after is Phase.ACTIVE:
        _raise(world, known, pending, sight)
    elif after is not phase:
        world.pending[key] = _fresh(sight, known) if after is Phase.PENDING else ()


def _fresh(sight: Sight, known: Alarm | None) -> Alarm:
    return Alarm(
        key=sight.key,
        resource=sight.resource,
        alarm=sight.alarm,
        qualifier=sight.qualifier,
        type=sight.type,
        severity=sight.severity,
        probable_cause=sight.probable_cause,
        text=sight.text,
        why=sight.why,
        phase=Phase.PENDING,
        occurrence=known.occurrence if known else 0,
        since=sight.at,
        changed_at=sight.at,
        source=sight.source,
    )


_LONG_AGO = datetime.fromtimestamp(0, UTC)
_NEVER = _fresh(Sight(resource=Resource(""), alarm="", why="", at=_LONG_AGO), None)


def _raise(world: World, known: Alarm | None, pending: Alarm | None, sight: Sight) -> None:
    device = sight.resource.device
    uncleared = world.by_device.get(device) or frozenset()
    if len(uncleared) >= _most(world) and sight.alarm != OVERFLOW:
        _overflow(world, sight)
        return
    policy = world.inventory.policy
    alarm = _raised(known or _NEVER, pending, sight, policy)
    if pending is not None:
        world.pending[alarm.key] = ()
    world.by_device[device] = uncleared | {alarm.key}
    keep(world, alarm, "raised", by="netopsd")
    if alarm.flapping:
        alarm = replace(alarm, why=f"changes too often; last: {sight.why}")
        keep(world, alarm, "flapping", by="netopsd")
        _start_flapping(world, alarm, bad=True)


def _raised(before: Alarm, pending: Alarm | None, sight: Sight, policy: Policy) -> Alarm:
    """Return the next occurrence of an alarm; who shelved it is all that stays of the last."""
    weight = flap.changed(before.flap_weight, before.flap_at, sight.at, policy)
    new = copies.blank()
    new.key = sight.key
    new.resource = sight.resource
    new.alarm = sight.alarm
    new.qualifier = sight.qualifier
    new.type = sight.type
    new.severity = sight.severity
    new.probable_cause = sight.probable_cause
    new.text = sight.text
    new.why = sight.why
    new.phase = Phase.ACTIVE
    new.occurrence = before.occurrence + 1
    new.since = pending.since if pending is not None else sight.at
    new.raised_at = new.changed_at = new.flap_at = sight.at
    new.cleared_at = new.acked_at = None
    new.source = sight.source
    new.count = sight.times
    new.acked_by = new.root = new.maintenance = ""
    new.shelved_until = before.shelved_until
    new.shelved_by = before.shelved_by
    new.flapping = flapping = flap.is_flapping(weight, before.flapping, policy)
    new.flap_weight = weight
    new.announced = not (flapping or before.shelved_until)
    return copies.closed(new)


OVERFLOW = "alarm-overflow"
OVERFLOW_ENDS = 0.9  # of the most: a device at the edge does not chatter


def _most(world: World) -> int:
    return world.inventory.policy.alarms_per_device


def _overflow(world: World, sight: Sight) -> None:
    """Refuse one more alarm of a device that has too many, and say so once."""
    see(
        world,
        Seen.BAD_FOR_LONG,
        Sight(
            resource=Resource(sight.resource.device),
            alarm=OVERFLOW,
            type=AlarmType.PROCESSING,
            severity=Severity.MAJOR,
            probable_cause="queueSizeExceeded",
            text=f"{sight.resource.device} has more alarms than are kept",
            why=f"{world.inventory.policy.alarms_per_device} alarms are active; more are counted",
            at=sight.at,
            source="self",
        ),
    )


def _see_active(world: World, alarm: Alarm, seen: Seen, sight: Sight) -> None:
    after = NEXT[Phase.ACTIVE, seen]
    if alarm.flapping:
        if seen is not Seen.NOTHING:
            _see_flapping(world, alarm, after is Phase.ACTIVE, sight)
        return
    if after is Phase.CLEARED:
        if sight.at >= alarm.changed_at:  # a look older than the alarm says nothing of it
            clear(world, alarm, sight.at, sight.why)
        return
    if sight.severity is not alarm.severity and seen is Seen.BAD_FOR_LONG:
        keep(
            world,
            replace(alarm, severity=sight.severity, why=sight.why, changed_at=sight.at),
            "severity",
            by="netopsd",
        )
    elif sight.source != "poll":
        again(world, alarm, sight.at, sight.times)


def again(world: World, alarm: Alarm, at: datetime, times: int) -> bool:
    """Count that an active alarm was told `times` times more; False where `see` must judge that.

    How often is worth a row in the database now and then, not ten thousand times a second.
    """
    if alarm.flapping:
        return world.raw.get(alarm.key) == Seen.BAD  # as it is already: nothing changes
    key, most = alarm.key, world.inventory.policy.checkpoint_s
    new = copies.opened(alarm)
    new.count += times
    new.changed_at = max(alarm.changed_at, at)
    more = copies.closed(new)
    if (more.changed_at - world.alarms[key].changed_at).total_seconds() < most:
        world.told[key] = more
    else:
        world.alarms[key] = more
        world.told[key] = ()
    return True


def clear(world: World, alarm: Alarm, at: datetime, why: str) -> None:
    """Clear an active alarm; where that is one change too many, it is flapping instead."""
    policy = world.inventory.policy
    weight = flap.changed(alarm.flap_weight, alarm.flap_at, at, policy)
    if flap.is_flapping(weight, alarm.flapping, policy):
        alarm = replace(
            alarm,
            flapping=True,
            why=f"changes too often; last: {why}",
            changed_at=at,
            flap_weight=weight,
            flap_at=at,
        )
        keep(world, alarm, "flapping", by="netopsd")
        _start_flapping(world, alarm, bad=False)
        return
    end(world, alarm, at, why, weight=weight)


def end(
    world: World,
    alarm: Alarm,
    at: datetime,
    why: str,
    *,
    by: str = "netopsd",
    weight: float | None = None,
) -> None:
    """Clear an alarm whatever its weight; where one is given, it is its weight from now on."""
    device = alarm.resource.device
    left = (world.by_device.get(device) or frozenset()) - {alarm.key}
    world.by_device[device] = left
    if world.raw.get(alarm.key):
        world.raw[alarm.key] = ""
    new = copies.opened(alarm)
    new.phase = Phase.CLEARED
    new.since = new.cleared_at = new.changed_at = at
    new.why = why
    new.flapping = False
    if weight is not None:
        new.flap_weight, new.flap_at = weight, at
    keep(world, copies.closed(new), "cleared", by=by)
    overflow = f"{device}!{OVERFLOW}"
    if overflow in left and len(left) - 1 < OVERFLOW_ENDS * _most(world):
        end(world, world.alarms[overflow], at, "there is room for more alarms again")


def _start_flapping(world: World, alarm: Alarm, bad: bool) -> None:
    world.raw[alarm.key] = Seen.BAD if bad else Seen.GOOD
    _await_steady(world, alarm)


def _await_steady(world: World, alarm: Alarm) -> None:
    since = alarm.flap_at or alarm.changed_at
    when = flap.steady_at(alarm.flap_weight, since, world.inventory.policy)
    agenda.put(world, when, "steady", alarm.key)


def _see_flapping(world: World, alarm: Alarm, bad: bool, sight: Sight) -> None:
    """Count, but do not tell."""
    raw = world.raw.get(alarm.key)
    now = Seen.BAD if bad else Seen.GOOD
    if raw == now:
        return
    world.raw[alarm.key] = now
    if raw is None:  # first look after a restart: learnt, not changed
        _await_steady(world, alarm)
        return
    policy = world.inventory.policy
    weight = flap.changed(alarm.flap_weight, alarm.flap_at, sight.at, policy)
    new = copies.opened(alarm)
    new.flap_weight, new.flap_at = weight, sight.at
    new.count += sight.times if bad else 0
    world.alarms[alarm.key] = copies.closed(new)


def steady(world: World, key: str, at: datetime) -> None:
    """Judge a flapping alarm again: still changing, settled good, or settled bad."""
    alarm = world.alarms.get(key)
    if alarm is None or not alarm.flapping:
        return
    policy = world.inventory.policy
    weight = flap.decayed(alarm.flap_weight, alarm.flap_at, at, policy)
    if flap.is_flapping(weight, True, policy):
        _await_steady(world, alarm)
        return
    if world.raw.get(key) is Seen.GOOD:
        end(world, replace(alarm, flap_weight=0.0), at, "steady again, and good")
    else:
        keep(
            world,
            replace(alarm, flapping=False, changed_at=at, why="steady again, and still bad"),
            "steady",
            by="netopsd",
        )
        world.raw[key] = ""


def hushed(alarm: Alarm) -> bool:
    """Whether people should not hear of this alarm now: explained, damped, shelved or planned."""
    return bool(alarm.root or alarm.flapping or alarm.shelved_until or alarm.maintenance)


def keep(world: World, alarm: Alarm, what: str, *, by: str) -> None:
    """Write a changed alarm with its line of history, and mark it for the stages after.

    Of each occurrence people hear "raised" once, when they first may, and "cleared" just where they
    heard that. What is over is not told of again.
    """
    if newer := world.told.get(alarm.key):
        world.told[alarm.key] = ()
        if newer.occurrence == alarm.occurrence:
            alarm = replace(alarm, count=max(newer.count, alarm.count))
    if what == "raised" or what == "cleared":  # noqa: PLR1714  (a storm is made of these)
        notice = what if alarm.announced else ""
    elif alarm.phase is Phase.CLEARED or hushed(alarm):
        notice = ""
    elif alarm.announced:
        notice = "changed"
    else:  # nothing hushes it any more
        alarm = replace(alarm, announced=True)
        notice = "raised"
    world.alarms[alarm.key] = alarm
    world.touched.append(alarm.key)
    world.out.changes.append(copies.change(alarm, what, by))
    if notice:
        world.out.notices.append(copies.notice(alarm, notice))
