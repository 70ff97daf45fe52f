"""Look-ups drawn once from an inventory, so that no judgement searches it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from netopsd.core.inventory import EventRule, Inventory, Service, Threshold
from netopsd.core.model import Resource

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Every mapping gives an empty tuple's worth by `.get(key, ())`."""

    downstream: Mapping[str, tuple[str, ...]]  # device → devices that name it in `upstream`
    services: Mapping[str, tuple[Service, ...]]  # device → services that rest on it
    resources: Mapping[str, tuple[Resource, ...]]  # device → its resources that carry services
    meters: Mapping[str, tuple[tuple[Service, Resource], ...]]  # device → ports to meter
    thresholds: Mapping[str, tuple[Threshold, ...]]  # table → rules
    events: Mapping[str, tuple[EventRule, ...]]  # notification name → rules
    event_alarms: Mapping[str, EventRule]  # alarm type id → the rule that raises it

    @staticmethod
    def of(inventory: Inventory) -> Index:
        """Draw the look-ups."""
        carried = [
            (resource.device, service, resource)
            for service in inventory.services.values()
            for path in service.paths
            for resource in path
        ]
        return Index(
            downstream=_grouped(
                (up.device, device.name)
                for device in inventory.devices.values()
                for up in device.upstream
            ),
            services=_grouped((device, service) for device, service, _ in carried),
            resources=_grouped((device, resource) for device, _, resource in carried),
            meters=_grouped(
                (meter.device, (service, meter))
                for service in inventory.services.values()
                for meter in service.meters
            ),
            thresholds=_grouped((rule.table, rule) for rule in inventory.thresholds),
            events=_grouped((rule.name, rule) for rule in inventory.events),
            event_alarms={rule.alarm: rule for rule in inventory.events if rule.alarm},
        )

    def exchanged(self, before: Service | None, after: Service | None) -> Index:
        """Return the look-ups with one service in place of another, None for none.

        A few entries are drawn anew; what `of` draws of thousands of services is kept.
        """
        services, resources, meters = dict(self.services), dict(self.resources), dict(self.meters)
        for device in _carriers(before) | _carriers(after):
            here = [one for one in services.get(device, ()) if one is not before]
            metered = [one for one in meters.get(device, ()) if one[0] is not before]
            if after is not None and device in _carriers(after, meters=False):
                here.append(after)
            if after is not None:
                metered += [(after, m) for m in after.meters if m.device == device]
            carried = (
                resource
                for service in here
                for path in service.paths
                for resource in path
                if resource.device == device
            )
            _put(services, device, tuple(here))
            _put(meters, device, tuple(metered))
            _put(resources, device, tuple(dict.fromkeys(carried)))
        return replace(self, services=services, resources=resources, meters=meters)


def _carriers(service: Service | None, meters: bool = True) -> set[str]:
    """Return the devices a service rests on, and those it is metered on."""
    if service is None:
        return set()
    found = {resource.device for path in service.paths for resource in path}
    return found | {meter.device for meter in service.meters} if meters else found


def _put(into: dict[str, tuple[T, ...]], device: str, entries: tuple[T, ...]) -> None:
    if entries:
        into[device] = entries
    else:
        into.pop(device, None)


def _grouped(pairs: Iterable[tuple[str, T]]) -> dict[str, tuple[T, ...]]:
    """Group values by key, in the order given, each value once."""
    groups: defaultdict[str, dict[T, None]] = defaultdict(dict)
    for key, value in pairs:
        groups[key][value] = None
    return {key: tuple(values) for key, values in groups.items()}
