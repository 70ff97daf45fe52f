"""Traps and notifications: what a rule makes of them.

An unauthenticated event may raise an alarm and never clears one: it asks for a verifying look, and
the look decides.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

from netopsd.core import agenda, copies, look
from netopsd.core import alarm as alarms
from netopsd.core.alarm import Seen, Sight
from netopsd.core.beliefs import AlarmType, Phase, Severity, alarm_key
from netopsd.core.inventory import EventRule
from netopsd.core.model import Event, Events, Resource
from netopsd.core.outcome import Verify
from netopsd.core.world import World

VERIFY_AFTER_S = (0.0, 60.0)
_blank = object.__new__
_US = alarms.OURSELVES.device  # a lost collector, an absent broker


def hear(world: World, said: Events) -> None:
    """Judge events in the order they came; all of them are kept as history."""
    world.out.events += said.items
    asked: set[tuple[str, tuple[float, ...]]] = set()
    devices, rules = world.inventory.devices, world.index.events
    for event in said.items:
        device = event.device
        if device not in devices and device != _US:
            continue
        if event.alarm and event.authenticated:
            _hear_alarm(world, event)
            continue
        for rule in rules.get(event.name, ()):
            if rule.only_when and not _fits(rule, event):
                continue
            _apply(world, rule, event)
            if rule.verify_after_s:
                asked.add((device, rule.verify_after_s))
    looks = sorted({(device, after_s) for device, times in asked for after_s in times})
    world.out.verify += [Verify(device=device, after_s=after_s) for device, after_s in looks]


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _fits(rule: EventRule, event: Event) -> bool:
    for name, pattern in rule.only_when:
        value = _value(event, name)
        if value is None or _pattern(pattern).search(value) is None:
            return False
    return True


def _value(event: Event, name: str) -> str | None:
    """Return the value called `name`, or the first whose OID has that prefix."""
    if name in event.values:
        return event.values[name]
    prefix = name + "."
    return next((v for k, v in event.values.items() if k.startswith(prefix)), None)


def _resource(world: World, rule: EventRule, event: Event) -> Resource | None:
    """Return what the event is about: the row whose index it names, else the device.

    None where it names a row that does not exist, or none at all: a forger's guess must not become
    an alarm that no look can end. What only happened (`momentary`) is then the device's.
    """
    device = event.device
    if event.resource is not None:
        return event.resource if event.resource.device == device else Resource(device)
    if not rule.row_from:
        return Resource(device)
    index = _index(rule, event)
    rows = world.rows(device, rule.table)
    row = look.row_called(rows, index) if index is not None else "#"
    if not row.startswith("#"):
        return copies.resource(device, rule.table, row)
    if rule.momentary:
        return Resource(device)
    return None if index is None or rows is not None else copies.resource(device, rule.table, row)


def _index(rule: EventRule, event: Event) -> str | None:
    """Return the instance the event names: what follows the OID prefix, else the value itself."""
    if rule.row_from in event.values:
        return event.values[rule.row_from]
    prefix = rule.row_from + "."
    for name in event.values:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return None


def _apply(world: World, rule: EventRule, event: Event) -> None:
    clears = rule.clears if event.authenticated else ""
    if not (rule.alarm or clears):
        return  # half of a storm: it only asks for a look
    resource = _resource(world, rule, event)
    if resource is None:
        return
    if rule.alarm:
        _raise(world, rule, event, resource)
    if clears:
        _clear(world, rule, event, resource)


def _clear(world: World, rule: EventRule, event: Event, resource: Resource) -> None:
    why = f"{rule.title or event.name} from {event.source}, authenticated"
    sight = _sight(event, resource, rule.clears, why)
    alarms.see(world, Seen.GOOD, sight)
    look.judge_anew(world, resource, rule.clears)


def _raise(world: World, rule: EventRule, event: Event, resource: Resource) -> None:
    key = alarm_key(resource, rule.alarm)
    before = world.alarm(key)
    up = before is not None and before.phase is Phase.ACTIVE
    same = before if up and before is not None and before.severity is rule.severity else None
    if same is not None and alarms.again(world, same, event.at, event.count):
        return  # most of a storm: known already
    why = f"told by {rule.title or event.name} from {event.source}"
    sight = _sight(event, resource, rule.alarm, why, key)
    sight.type = rule.type
    sight.severity = rule.severity
    sight.probable_cause = rule.probable_cause
    sight.text = _text(rule, event, resource.row)
    alarms.move(world, before, Seen.BAD_FOR_LONG, sight)
    if rule.momentary and not up:
        agenda.put(world, event.at + agenda.seconds(rule.momentary_s), "momentary", key)


def _sight(event: Event, resource: Resource, alarm: str, why: str, key: str = "") -> Sight:
    """Return Sight(…) of what a trap says, field by field: that costs a third of it."""
    sight = _blank(Sight)
    sight.key = key or alarm_key(resource, alarm)
    sight.resource = resource
    sight.alarm = alarm
    sight.why = why
    sight.at = event.at
    sight.times = event.count
    sight.source = "trap"
    sight.type = AlarmType.COMMUNICATIONS
    sight.severity = Severity.MAJOR
    sight.probable_cause = "unknown"
    sight.qualifier = sight.text = ""
    sight.hold_s = 0.0
    return sight


def _text(rule: EventRule, event: Event, row: str) -> str:
    """Return what `look.fill` makes of the rule's text, word by word."""
    text = rule.text or "{device} {row}: " + rule.alarm
    text = text.replace("{device}", event.device).replace("{row}", row)
    return text.replace("{source}", event.source)


def _hear_alarm(world: World, event: Event) -> None:
    """An authenticated source that keeps alarms itself (ietf-alarms): its word is taken."""
    gone = event.severity == Severity.CLEARED
    name, _, qualifier = event.alarm.partition(":")
    known = set(Severity)
    resource = event.resource or Resource(event.device)
    if resource.device != event.device:
        resource = Resource(event.device)  # nobody speaks for another device
    alarms.see(
        world,
        Seen.GOOD if gone else Seen.BAD_FOR_LONG,
        Sight(
            resource=resource,
            alarm=name,
            qualifier=qualifier,
            type=AlarmType.EQUIPMENT,
            severity=Severity(event.severity)
            if event.severity in known and not gone
            else Severity.INDETERMINATE,
            text=event.text or event.alarm,
            why=f"{event.name} from {event.source}: {event.severity or 'raised'}",
            at=event.at,
            source="netconf",
            times=event.count,
        ),
    )
    if gone:
        look.judge_anew(world, resource, name)


def end_momentary(world: World, key: str, at: datetime) -> None:
    """Clear an alarm that only said that something happened, once it has been quiet."""
    alarm = world.alarm(key)
    if alarm is None or alarm.phase is not Phase.ACTIVE:
        return
    rule = world.index.event_alarms.get(alarm.alarm)
    stays = rule.momentary_s if rule is not None and rule.momentary else look.RESTARTED_S
    over = alarm.changed_at + agenda.seconds(stays)
    if at < over:  # it happened again since, or somebody touched it
        agenda.put(world, over, "momentary", key)
        return
    alarms.end(world, alarm, at, f"it happened; nothing more for {stays:g} s")
    look.judge_anew(world, alarm.resource, alarm.alarm)
