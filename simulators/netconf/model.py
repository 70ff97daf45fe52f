"""What a NETCONF server needs of the device it fronts, so that SNMP and NETCONF tell one story."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PortState:
    """A port as it is at one moment. `octets` and `errors` are 64-bit counters."""

    name: str
    index: int
    description: str = ""
    type: str = "ethernetCsmacd"
    admin_up: bool = True
    oper_up: bool = True
    speed_bps: int = 1_000_000_000
    in_octets: int = 0
    out_octets: int = 0
    in_errors: int = 0
    out_errors: int = 0
    in_packets: int = 0
    out_packets: int = 0
    changed: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    discontinuity: datetime = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One entry of the service model: what an order puts on a port."""

    id: str
    port: str
    vlan: int
    description: str = ""
    rate_bps: int = 0


class DeviceModel(Protocol):
    """A device behind a NETCONF server. An SNMP agent of the same device shares it."""

    @property
    def name(self) -> str: ...

    @property
    def booted(self) -> datetime: ...

    def ports(self) -> Sequence[PortState]:
        """Return all ports as they are now."""
        ...

    def configure(self, port: str, *, admin_up: bool, description: str) -> None:
        """Put interface configuration in force. Takes effect at once, as on a device."""
        ...

    def provision(self, services: Sequence[Service]) -> None:
        """Put exactly `services` in force: each makes its port carry traffic."""
        ...

    def watch(self, tell: Callable[[PortState], None]) -> Callable[[], None]:
        """Call `tell` with each port whose oper-status changes; returns how to stop that."""
        ...


@dataclass(slots=True, eq=False)
class StandIn:
    """A device that lives in memory, for tests and for servers without an SNMP side."""

    name: str
    names: Sequence[str]
    booted: datetime = field(default_factory=lambda: datetime.now(UTC))
    services: tuple[Service, ...] = ()
    _ports: dict[str, PortState] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)
    _watchers: list[Callable[[PortState], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for index, name in enumerate(self.names, start=1):
            self._ports[name] = PortState(name=name, index=index, discontinuity=self.booted)

    def ports(self) -> Sequence[PortState]:
        return tuple(self._ports.values())

    def port(self, name: str) -> PortState:
        return self._ports[name]

    def count(self, name: str, in_octets: int, out_octets: int) -> None:
        """Let traffic pass through a port."""
        port = self._ports[name]
        self._ports[name] = replace(
            port, in_octets=port.in_octets + in_octets, out_octets=port.out_octets + out_octets
        )

    def cut(self, name: str) -> None:
        """Break the link of a port."""
        self._broken.add(name)
        self._settle(name)

    def mend(self, name: str) -> None:
        self._broken.discard(name)
        self._settle(name)

    def configure(self, port: str, *, admin_up: bool, description: str) -> None:
        was = self._ports[port]
        self._ports[port] = replace(was, admin_up=admin_up, description=description)
        self._settle(port)

    def provision(self, services: Sequence[Service]) -> None:
        self.services = tuple(services)

    def watch(self, tell: Callable[[PortState], None]) -> Callable[[], None]:
        self._watchers.append(tell)
        return lambda: self._watchers.remove(tell)

    def _settle(self, name: str) -> None:
        port = self._ports[name]
        up = port.admin_up and name not in self._broken
        if up != port.oper_up:
            port = self._ports[name] = replace(port, oper_up=up, changed=datetime.now(UTC))
            for tell in tuple(self._watchers):
                tell(port)
