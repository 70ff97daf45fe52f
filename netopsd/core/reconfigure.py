"""A new configuration: what it ends, what it begins, what it leaves as it is."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from datetime import datetime, timedelta

from netopsd.core import agenda, attention, cause, maintenance, missing, outage, reach, sla, usage
from netopsd.core import alarm as alarms
from netopsd.core.beliefs import Alarm, DeviceState, Phase, Reach, State
from netopsd.core.index import Index
from netopsd.core.inventory import Inventory, Service
from netopsd.core.model import Resource
from netopsd.core.ordered import promised, with_ordered
from netopsd.core.world import World

# A machine that starts with its clock wrong has it set right by then; what was stored can be
# compared with it only afterwards.
CLOCK_SETTLES_S = 600


def adopt(world: World, inventory: Inventory, at: datetime) -> None:
    """Replace the inventory; end what belongs to devices, services and meters no longer there.

    Services that were ordered stay. Raises NotAllowed where one, active or certain to be, clashes
    with the new inventory.
    """
    before = world.inventory
    items = promised(item for _, item in world.order_items.items())
    inventory = with_ordered(inventory, dict(world.ordered.items()), items)
    for service in before.services.values():
        outage.settle(world, service, at, now=True)
    if world.moments.get("tick") is None:  # a start: while we run our clock never goes back
        agenda.put(world, at + timedelta(seconds=CLOCK_SETTLES_S), "clock", "")
    _exchange_services(world, before.services, inventory.services, at)
    world.inventory = world.out.inventory = inventory
    world.index = world.out.index = Index.of(inventory)
    ruled = {table: {t.alarm for t in rules} for table, rules in world.index.thresholds.items()}
    active = [alarm for _, alarm in world.alarms.items() if alarm.phase is Phase.ACTIVE]
    for alarm in active:
        if why := _orphaned(world, alarm, ruled):
            alarms.end(world, alarm, at, why, by="configuration")
    for name, state in tuple(world.devices.items()):
        if name not in inventory.devices and state.reach is not Reach.NEW:
            world.devices[name] = DeviceState(name=name)
    cause.explain_anew(world, at)
    mark_windows(world, at)


def _exchange_services(
    world: World, before: Mapping[str, Service], after: Mapping[str, Service], at: datetime
) -> None:
    """End meters and services that are no more; hand over or resume those that stay or return."""
    kept = {(s.id, str(m)): s for s in after.values() for m in s.meters}
    for key in usage.known(world):
        if key in kept:
            usage.hand_over(world, kept[key], key, at)
        else:
            usage.close_meter(world, key, at)
    for name, _ in tuple(world.services.items()):
        if name not in after:
            _end_service(world, name, at)
    for name, service in after.items():
        if name not in before:
            _resume_service(world, service, at)


def _orphaned(world: World, alarm: Alarm, ruled: Mapping[str, Set[str]]) -> str:
    """Return why nobody is left who could end this alarm, "" where somebody is.

    `ruled` are the alarm types of the thresholds, by table.
    """
    resource = alarm.resource
    if resource.device == alarms.OURSELVES.device:
        return ""
    device = world.inventory.devices.get(resource.device)
    if device is None:
        return "the device is no longer configured"
    if alarm.alarm == reach.SESSION_LOST and alarm.qualifier not in device.sources:
        return f"it is no longer looked at by {alarm.qualifier}"
    if alarm.alarm == missing.ALARM and resource not in world.index.resources.get(device.name, ()):
        return "no service rests on it any more"
    if alarm.alarm in ruled.get(resource.table, ()) or alarm.alarm in world.index.event_alarms:
        return ""
    of_a_rule = alarm.source == "trap" or (alarm.source == "poll" and resource.table)
    return "its rule is no longer configured" if of_a_rule else ""


def put_service(world: World, service: Service, at: datetime) -> None:
    """Watch and meter `service` from now on, in place of the one of its id where there is one."""
    before = world.inventory.services.get(service.id)
    if before is not None:
        outage.settle(world, before, at, now=True)
        _close_meters(world, before, set(service.meters), at)
        for meter in service.meters:
            usage.hand_over(world, service, (service.id, str(meter)), at)
    else:
        _resume_service(world, service, at)
    services = {**world.inventory.services, service.id: service}
    _replace_services(world, services, world.index.exchanged(before, service))


def drop_service(world: World, name: str, at: datetime) -> None:
    """Watch and meter a service no longer: its outage ends and its last usage is told."""
    service = world.inventory.services.get(name)
    if service is None:
        return
    outage.settle(world, service, at)
    _end_service(world, name, at)
    _close_meters(world, service, set(), at)
    services = {key: one for key, one in world.inventory.services.items() if key != name}
    _replace_services(world, services, world.index.exchanged(service, None))


def _close_meters(world: World, service: Service, stay: set[Resource], at: datetime) -> None:
    for meter in service.meters:
        if meter not in stay:
            usage.close_meter(world, (service.id, str(meter)), at)


def _replace_services(world: World, services: dict[str, Service], index: Index) -> None:
    world.inventory = world.out.inventory = replace(world.inventory, services=services)
    world.index = world.out.index = index


def _end_service(world: World, name: str, at: datetime) -> None:
    """Book a service's last stretch and close its outage."""
    state = world.services.get(name)
    if state is None or (state.state is State.UNKNOWN and not state.outage):
        return
    service = world.inventory.services.get(name)
    if service is not None:
        at = max(at, state.until)
        sla.account(world, service, state.state, (state.until, at))
        outage.end(world, service, state, at, "the service is no longer configured")
    else:  # it went while we were stopped: nobody knows whose it was, or how it fared since
        at = state.until
        open_outage = world.outages.get(state.outage) if state.outage else None
        if open_outage is not None:
            why = "the service is no longer configured"
            world.outages[open_outage.id] = replace(open_outage, ends=at, why=why)
    world.services[name] = replace(state, state=State.UNKNOWN, since=at, until=at, outage="")


def _resume_service(world: World, service: Service, at: datetime) -> None:
    """Nobody watched a service that was known and is configured again: how it fared is unknown."""
    state = world.services.get(service.id)
    if state is not None and state.until < at:
        sla.account(world, service, State.UNKNOWN, (state.until, at))
        unknown = replace(state, state=State.UNKNOWN, since=at, until=at)
        world.services[service.id] = unknown


def mark_windows(world: World, at: datetime) -> None:
    """Mark alarms that now fall into maintenance, lift marks that no longer hold, plan the next."""
    windows = world.inventory.windows
    marked = [
        alarm
        for _, alarm in world.alarms.items()
        if (windows or alarm.maintenance) and alarm.phase is Phase.ACTIVE
    ]
    for alarm in marked:
        window = maintenance.for_device(world.inventory, alarm.resource.device, at)
        if window != alarm.maintenance:
            why = f"planned: {window}" if window else f"{alarm.maintenance} is over"
            attention.maintain(world, alarm, window, at, why)
    coming = [t for w in windows for t in (w.starts, w.ends) if t > at]
    if coming:
        agenda.put(world, min(coming), "window", "")
    for service in world.inventory.services.values():
        outage.settle(world, service, at)
