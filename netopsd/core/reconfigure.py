"""A new configuration: what it ends, what it begins, what it leaves as it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from netopsd.core import agenda, maintenance, outage, sla, usage
from netopsd.core import alarm as alarms
from netopsd.core.beliefs import Phase, State
from netopsd.core.index import Index
from netopsd.core.inventory import Inventory, Service
from netopsd.core.model import Resource
from netopsd.core.ordered import with_ordered
from netopsd.core.world import World


def adopt(world: World, inventory: Inventory, at: datetime) -> None:
    """Replace the inventory; end what belongs to devices, services and meters no longer there.

    Services that were ordered stay. Raises NotAllowed where one clashes with the new inventory.
    """
    before = world.inventory
    inventory = with_ordered(inventory, dict(world.ordered.items()))
    kept = {(s.id, str(m)): s for s in inventory.services.values() for m in s.meters}
    for key, _ in tuple(world.meters.items()):
        service = before.services.get(key[0]) or inventory.services.get(key[0])
        if key not in kept and service is not None:
            usage.close_meter(world, service, key, at)
    for name, service in before.services.items():
        if name not in inventory.services:
            _end_service(world, name, at)
            del service
    for _, alarm in tuple(world.alarms.items()):
        device = alarm.resource.device
        gone = device not in inventory.devices and alarm.resource != alarms.OURSELVES
        if gone and alarm.phase is Phase.ACTIVE:
            alarms.end(world, alarm, at, "the device is no longer configured", by="configuration")
    world.inventory = world.out.inventory = inventory
    world.index = Index.of(inventory)
    mark_windows(world, at)


def put_service(world: World, service: Service, at: datetime) -> None:
    """Watch and meter `service` from now on, in place of the one of its id where there is one."""
    before = world.inventory.services.get(service.id)
    if before is not None:
        outage.settle(world, before, at)
        _close_meters(world, before, set(service.meters), at)
    _replace_services(world, {**world.inventory.services, service.id: service})


def drop_service(world: World, name: str, at: datetime) -> None:
    """Watch and meter a service no longer: its outage ends and its last usage is told."""
    service = world.inventory.services.get(name)
    if service is None:
        return
    outage.settle(world, service, at)
    _end_service(world, name, at)
    _close_meters(world, service, set(), at)
    services = {key: one for key, one in world.inventory.services.items() if key != name}
    _replace_services(world, services)


def _close_meters(world: World, service: Service, stay: set[Resource], at: datetime) -> None:
    for meter in service.meters:
        if meter not in stay:
            usage.close_meter(world, service, (service.id, str(meter)), at)


def _replace_services(world: World, services: dict[str, Service]) -> None:
    world.inventory = world.out.inventory = replace(world.inventory, services=services)
    world.index = Index.of(world.inventory)


def _end_service(world: World, name: str, at: datetime) -> None:
    """Book a service's last stretch and close its outage."""
    state = world.services.get(name)
    service = world.inventory.services.get(name)
    if state is None or service is None:
        return
    if state.state is State.DOWN:
        sla.account(world, service, State.DOWN, (state.until, at))
    open_outage = world.outages.get(state.outage) if state.outage else None
    if open_outage is not None:
        world.outages[open_outage.id] = replace(open_outage, ends=at, why="service ended")
    world.services[name] = replace(
        state, state=State.UNKNOWN, since=at, until=max(at, state.until), outage=""
    )


def mark_windows(world: World, at: datetime) -> None:
    """Mark alarms that now fall into maintenance, lift marks that no longer hold, plan the next."""
    windows = world.inventory.windows
    for _, alarm in tuple(world.alarms.items()):
        if alarm.phase is not Phase.ACTIVE:
            continue
        window = maintenance.for_device(world.inventory, alarm.resource.device, at)
        if window != alarm.maintenance:
            why = f"planned: {window}" if window else f"{alarm.maintenance} is over"
            alarms.maintain(world, alarm, window, at, why)
    coming = [t for w in windows for t in (w.starts, w.ends) if t > at]
    if coming:
        agenda.put(world, min(coming), "window", "")
    for service in world.inventory.services.values():
        outage.settle(world, service, at)
