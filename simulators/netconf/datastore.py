"""Running, candidate and startup configuration of one simulated device, and their editing."""

from __future__ import annotations

import copy

from lxml import etree

from simulators.netconf.model import DeviceModel, Service
from simulators.netconf.xml import IF, NC, OPERATION, SVC, Element, RpcError, add, make, name_of

KEYS = {f"{{{IF}}}interface": f"{{{IF}}}name", f"{{{SVC}}}service": f"{{{SVC}}}id"}
OPERATIONS = ("merge", "replace", "create", "delete", "remove", "none")


class Datastores:
    """The configuration of a device. What is committed is put in force on its model at once."""

    def __init__(self, model: DeviceModel) -> None:
        self._model = model
        self.running = _initial(model)
        self.candidate = copy.deepcopy(self.running)
        self.locks: dict[str, int] = {}  # datastore → session-id

    @property
    def dirty(self) -> bool:
        """Whether the candidate differs from running."""
        return bool(etree.tostring(self.candidate) != etree.tostring(self.running))

    def get(self, name: str) -> Element:
        """Return a datastore. Raises RpcError."""
        if name in ("running", "startup"):
            return self.running
        if name == "candidate":
            return self.candidate
        raise RpcError("invalid-value", f"no datastore {name!r}", kind="protocol")

    def edit(self, target: str, config: Element, default: str = "merge") -> Element:
        """Return what `target` looks like after the edit; nothing is changed. Raises RpcError."""
        edited = copy.deepcopy(self.get(target))
        for node in config.iterchildren(tag=etree.Element):
            _apply(edited, node, default)
        return edited

    def put(self, target: str, config: Element) -> None:
        """Make `config` the content of `target`, valid or not for a candidate."""
        if target == "running":
            self.enforce(config)
        else:
            self.candidate = config

    def discard(self) -> None:
        self.candidate = copy.deepcopy(self.running)

    def configured(self, port: str, *, enabled: bool) -> None:
        """Write into running, and an untouched candidate, what was configured at the device."""
        untouched = not self.dirty
        for interface in self.running.iter(f"{{{IF}}}interface"):
            if interface.findtext(f"{{{IF}}}name") == port:
                for known in interface.findall(f"{{{IF}}}enabled"):
                    interface.remove(known)
                add(interface, "enabled", "true" if enabled else "false")
        if untouched:
            self.discard()

    def enforce(self, config: Element) -> None:
        """Make `config` running and put it in force. Raises RpcError where it is not valid."""
        services = self.validate(config)
        self.running = copy.deepcopy(config)
        carried = {service.port: service for service in services}
        for interface in self.running.iter(f"{{{IF}}}interface"):
            name = interface.findtext(f"{{{IF}}}name")
            service = carried.get(name)
            said = interface.findtext(f"{{{IF}}}description") or ""
            enabled = interface.findtext(f"{{{IF}}}enabled") != "false"
            self._model.configure(
                name,
                admin_up=enabled or service is not None,
                description=(service.description or service.id) if service else said,
            )
        self._model.provision(services)

    def validate(self, config: Element) -> tuple[Service, ...]:
        """Return the services of `config`. Raises RpcError with what is wrong."""
        known = {port.name for port in self._model.ports()}
        for interface in config.iter(f"{{{IF}}}interface"):
            name = interface.findtext(f"{{{IF}}}name")
            if name not in known:
                raise RpcError("invalid-value", f"there is no port {name}")
        taken: set[tuple[str, int]] = set()
        services = tuple(_service(entry) for entry in config.iter(f"{{{SVC}}}service"))
        for service in services:
            if service.port not in known:
                raise RpcError("invalid-value", f"service {service.id}: no port {service.port}")
            if not 1 <= service.vlan <= 4094:
                raise RpcError("invalid-value", f"service {service.id}: no VLAN {service.vlan}")
            if (service.port, service.vlan) in taken:
                what = f"service {service.id}: {service.port} vlan {service.vlan} is taken"
                raise RpcError("data-exists", what)
            taken.add((service.port, service.vlan))
        return services


def _service(entry: Element) -> Service:
    def leaf(tag: str) -> str:
        return (entry.findtext(f"{{{SVC}}}{tag}") or "").strip()

    try:
        return Service(
            id=leaf("id"),
            port=leaf("port"),
            vlan=int(leaf("vlan")),
            description=leaf("description"),
            rate_bps=int(leaf("rate") or 0),
        )
    except ValueError as error:
        raise RpcError("invalid-value", f"service {leaf('id')}: {error}") from None


def _initial(model: DeviceModel) -> Element:
    config = make("config", ns=NC)
    interfaces = make("interfaces", ns=IF)
    config.append(interfaces)
    for port in model.ports():
        interface = add(interfaces, "interface")
        add(interface, "name", port.name)
        add(interface, "description", port.description)
        add(interface, "enabled", "true" if port.admin_up else "false")
    config.append(make("services", ns=SVC))
    return config


def _apply(parent: Element, node: Element, inherited: str) -> None:
    """Edit one node under `parent` (RFC 6241 section 7.2). Raises RpcError."""
    operation = node.get(OPERATION, inherited)
    if operation not in OPERATIONS:
        raise RpcError("bad-attribute", f"operation {operation!r}", kind="protocol")
    existing = _find(parent, node)
    if operation == "create" and existing is not None:
        raise RpcError("data-exists", f"{name_of(node)} {_key(node)} is there already")
    if operation in ("delete", "none") and existing is None:
        raise RpcError("data-missing", f"{name_of(node)} {_key(node)} is not there")
    if operation in ("merge", "none"):
        _merge(parent, existing, node, operation)
        return
    if existing is not None:
        parent.remove(existing)
    if operation in ("create", "replace"):
        parent.append(_clean(node))


def _merge(parent: Element, existing: Element | None, node: Element, operation: str) -> None:
    children = list(node.iterchildren(tag=etree.Element))
    if existing is None:
        existing = etree.SubElement(parent, node.tag, nsmap=node.nsmap)
    if not children and operation == "merge":
        existing.text = node.text
    for child in children:
        _apply(existing, child, operation)


def _find(parent: Element, node: Element) -> Element | None:
    key = KEYS.get(node.tag)
    wanted = node.findtext(key) if key else None
    for candidate in parent:
        if candidate.tag == node.tag and (key is None or candidate.findtext(key) == wanted):
            return candidate
    return None


def _key(node: Element) -> str:
    key = KEYS.get(node.tag)
    return (node.findtext(key) or "") if key else ""


def _clean(node: Element) -> Element:
    clean = copy.deepcopy(node)
    clean.tail = None
    for element in clean.iter():
        element.attrib.pop(OPERATION, None)
    return clean
