"""From what the store remembers to a world ready to judge: every index and due time drawn anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from netopsd.core import agenda, flap
from netopsd.core.beliefs import FINAL, Alarm, Phase, TicketStatus
from netopsd.core.inventory import Inventory
from netopsd.core.outcome import Beliefs
from netopsd.core.world import World

LONG_AGO = datetime.fromtimestamp(0, UTC)


def restore(inventory: Inventory, beliefs: Beliefs | None = None) -> World:
    """Return the world as of `beliefs` (None: nothing yet) under `inventory`."""
    world = World.of(inventory, beliefs)
    active = [a for a in world.alarms.own.values() if a.phase is Phase.ACTIVE]
    world.by_device.own = _keys_by((alarm.resource.device, alarm) for alarm in active)
    world.symptoms.own = _keys_by((alarm.root, alarm) for alarm in active if alarm.root)
    agenda.fill(world, _plans(world, active))
    outages = world.outages.own
    over = [one for one in outages.values() if one.ends is not None]
    for one in sorted(over, key=lambda one: one.starts):
        world.ended.own[one.service] = outages.pop(one.id)
    ticket_of = world.ticket_of.own
    for ticket in world.tickets.own.values():
        if ticket.status in FINAL:
            continue
        ticket_of[ticket.cause] = ticket.id
        if ticket.status is TicketStatus.RESOLVED and ticket.resolved_at is not None:
            wait = timedelta(seconds=inventory.policy.ticket_close_s)
            agenda.put(world, ticket.resolved_at + wait, "close", ticket.id)
    moments = [moment for window in inventory.windows for moment in (window.starts, window.ends)]
    if moments:  # the first tick marks what is in a window now, and plans the next moment
        agenda.put(world, min(moments), "window", "")
    return world


def _keys_by(pairs: Iterable[tuple[str, Alarm]]) -> dict[str, frozenset[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name, alarm in pairs:
        groups[name].append(alarm.key)
    return {name: frozenset(keys) for name, keys in groups.items()}


def _plans(world: World, active: Iterable[Alarm]) -> Iterator[tuple[datetime, str, str]]:
    """Yield when which alarm is to be judged again, and for what."""
    for alarm in world.alarms.own.values():
        if alarm.shelved_until is not None:
            yield alarm.shelved_until, "unshelve", alarm.key
    policy, rules = world.inventory.policy, world.index.event_alarms
    hold = timedelta(seconds=policy.ticket_hold_s)
    for alarm in active:
        yield (alarm.raised_at or LONG_AGO) + hold, "ticket", alarm.key
        if alarm.flapping and alarm.flap_at is not None:
            yield flap.steady_at(alarm.flap_weight, alarm.flap_at, policy), "steady", alarm.key
        rule = rules.get(alarm.alarm)
        if rule is not None and rule.momentary:
            yield alarm.changed_at + timedelta(seconds=rule.momentary_s), "momentary", alarm.key
        elif alarm.alarm == "device-restarted":
            yield alarm.changed_at + timedelta(seconds=300), "momentary", alarm.key
