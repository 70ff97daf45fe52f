"""Operational state of a simulated device as YANG data: interfaces, alarms, hardware, system."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from lxml import etree

from simulators.netconf.model import DeviceModel, PortState
from simulators.netconf.xml import AL, HW, IANA_IF, IF, SVC, SYS, Element, add, make


def stamp(at: datetime) -> str:
    """Return `at` as a YANG date-and-time, to the microsecond."""
    return at.isoformat().replace("+00:00", "Z")


@dataclass(slots=True, kw_only=True)
class AlarmEntry:
    """One alarm of the device's own list (RFC 8632 section 4.5)."""

    resource: str  # instance-identifier
    type_id: str
    qualifier: str = ""
    severity: str = "major"
    text: str = ""
    cleared: bool = False
    changed: datetime


@dataclass(slots=True)
class AlarmList:
    """The device's alarms. `tell` hears each change."""

    tell: Callable[[AlarmEntry], None] | None = None
    entries: dict[tuple[str, str, str], AlarmEntry] = field(default_factory=dict)

    def put(self, entry: AlarmEntry) -> None:
        """Raise, change or clear an alarm."""
        self.entries[entry.resource, entry.type_id, entry.qualifier] = entry
        if self.tell is not None:
            self.tell(entry)


def port_path(port: str) -> str:
    """Return the instance-identifier of a port."""
    return f"/if:interfaces/if:interface[if:name='{port}']"


def interfaces(model: DeviceModel) -> Element:
    """Return ietf-interfaces (RFC 8343) of the device as it is now."""
    element = make("interfaces", ns=IF)
    for port in model.ports():
        element.append(_interface(port))
    return element


def _interface(port: PortState) -> Element:
    element = make("interface", ns=IF)
    add(element, "name", port.name)
    add(element, "description", port.description)
    kind = etree.SubElement(element, f"{{{IF}}}type", nsmap={"ianaift": IANA_IF})
    kind.text = f"ianaift:{port.type}"
    add(element, "enabled", "true" if port.admin_up else "false")
    add(element, "admin-status", "up" if port.admin_up else "down")
    add(element, "oper-status", "up" if port.oper_up else "down")
    add(element, "last-change", stamp(port.changed))
    add(element, "if-index", str(port.index))
    add(element, "speed", str(port.speed_bps))
    statistics = add(element, "statistics")
    add(statistics, "discontinuity-time", stamp(port.discontinuity))
    add(statistics, "in-octets", str(port.in_octets))
    add(statistics, "in-unicast-pkts", str(port.in_packets))
    add(statistics, "in-discards", "0")
    add(statistics, "in-errors", str(port.in_errors))
    add(statistics, "out-octets", str(port.out_octets))
    add(statistics, "out-unicast-pkts", str(port.out_packets))
    add(statistics, "out-discards", "0")
    add(statistics, "out-errors", str(port.out_errors))
    return element


def alarms(entries: AlarmList) -> Element:
    """Return the alarm list of ietf-alarms (RFC 8632)."""
    element = make("alarms", ns=AL)
    listed = add(element, "alarm-list")
    add(listed, "number-of-alarms", str(len(entries.entries)))
    for entry in entries.entries.values():
        alarm = add(listed, "alarm")
        add(alarm, "resource", entry.resource)
        add(alarm, "alarm-type-id", entry.type_id)
        add(alarm, "alarm-type-qualifier", entry.qualifier)
        add(alarm, "is-cleared", "true" if entry.cleared else "false")
        add(alarm, "last-changed", stamp(entry.changed))
        add(alarm, "perceived-severity", entry.severity)
        add(alarm, "alarm-text", entry.text)
    return element


def system(model: DeviceModel, now: datetime) -> list[Element]:
    """Return ietf-system (RFC 7317) and one sensor of ietf-hardware (RFC 8348)."""
    config = make("system", ns=SYS)
    add(config, "hostname", model.name)
    add(config, "location", "simulated")
    state = make("system-state", ns=SYS)
    platform = add(state, "platform")
    add(platform, "os-name", "netopsd simulator")
    add(platform, "os-version", "1")
    clock = add(state, "clock")
    add(clock, "current-datetime", stamp(now))
    add(clock, "boot-datetime", stamp(model.booted))
    hardware = make("hardware", ns=HW)
    component = add(hardware, "component")
    add(component, "name", "temp0")
    add(component, "class", "iana-hardware:sensor")
    sensor = add(component, "sensor-data")
    add(sensor, "value", "415")
    add(sensor, "value-type", "celsius")
    add(sensor, "value-scale", "units")
    add(sensor, "value-precision", "1")
    add(sensor, "oper-status", "ok")
    return [config, state, hardware]


def services(config: Element, model: DeviceModel) -> list[Element]:
    """Return the services configured and, from the ports they use, how they are."""
    up = {port.name for port in model.ports() if port.oper_up}
    state = make("services-state", ns=SVC)
    found = config.find(f"{{{SVC}}}services")
    for entry in () if found is None else found:
        service = add(state, "service")
        add(service, "id", entry.findtext(f"{{{SVC}}}id"))
        port = entry.findtext(f"{{{SVC}}}port")
        add(service, "port", port)
        add(service, "oper-status", "up" if port in up else "down")
    return ([copy.deepcopy(found)] if found is not None else []) + [state]
