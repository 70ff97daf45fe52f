"""From what the store remembers to a world ready to judge: every index and due time drawn anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from netopsd.core import agenda, flap
from netopsd.core.beliefs import FINAL, Alarm, Phase, TicketStatus
from netopsd.core.inventory import Inventory
from netopsd.core.outcome import Beliefs
from netopsd.core.world import World


def restore(inventory: Inventory, beliefs: Beliefs | None = None) -> World:
    """Return the world as of `beliefs` (None: nothing yet) under `inventory`."""
    world = World.of(inventory, beliefs)
    for alarm in world.alarms.own.values():
        _index_alarm(world, alarm)
    for ticket in world.tickets.own.values():
        if ticket.status in FINAL:
            continue
        world.ticket_of[ticket.cause] = ticket.id
        if ticket.status is TicketStatus.RESOLVED and ticket.resolved_at is not None:
            wait = timedelta(seconds=inventory.policy.ticket_close_s)
            agenda.put(world, ticket.resolved_at + wait, "close", ticket.id)
    moments = [moment for window in inventory.windows for moment in (window.starts, window.ends)]
    if moments:  # the first tick marks what is in a window now, and plans the next moment
        agenda.put(world, min(moments), "window", "")
    return world


def _index_alarm(world: World, alarm: Alarm) -> None:
    if alarm.shelved_until is not None:
        agenda.put(world, alarm.shelved_until, "unshelve", alarm.key)
    if alarm.phase is not Phase.ACTIVE:
        return
    policy = world.inventory.policy
    device = alarm.resource.device
    world.by_device[device] = (world.by_device.get(device) or frozenset()) | {alarm.key}
    if alarm.root:
        world.symptoms[alarm.root] = (world.symptoms.get(alarm.root) or frozenset()) | {alarm.key}
    raised = alarm.raised_at or datetime.fromtimestamp(0, UTC)
    agenda.put(world, raised + timedelta(seconds=policy.ticket_hold_s), "ticket", alarm.key)
    if alarm.flapping and alarm.flap_at is not None:
        when = flap.steady_at(alarm.flap_weight, alarm.flap_at, policy)
        agenda.put(world, when, "steady", alarm.key)
    rule = world.index.event_alarms.get(alarm.alarm)
    if rule is not None and rule.momentary:
        stays = timedelta(seconds=rule.momentary_s)
        agenda.put(world, alarm.changed_at + stays, "momentary", alarm.key)
    elif alarm.alarm == "device-restarted":
        agenda.put(world, alarm.changed_at + timedelta(seconds=300), "momentary", alarm.key)
