"""Who can still be reached, and which ports carry light: worked out from links and states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simulators.device import Device, Port
from simulators.scenario import Link


class Line:
    """A link as it is now."""

    def __init__(self, said: Link, devices: Mapping[str, Device]) -> None:
        self.name = said.name
        self.near, self.far = devices[said.near.device], devices[said.far.device]
        self.near_port: Port = self.near.port(said.near.port)
        self.far_port: Port = self.far.port(said.far.port)
        self.is_cut = False

    @property
    def whole(self) -> bool:
        sound = self.near_port.sound and self.far_port.sound
        return sound and self.near.powered and self.far.powered and not self.is_cut

    def carrier(self) -> bool:
        """Give both ends light or take it; True where that changed one."""
        fault = f"link:{self.name}"
        before = (fault in self.near_port.faults, fault in self.far_port.faults)
        near_lit = self.far_port.sound and self.far.powered and not self.is_cut
        far_lit = self.near_port.sound and self.near.powered and not self.is_cut
        for port, lit in ((self.near_port, near_lit), (self.far_port, far_lit)):
            (port.faults.discard if lit else port.faults.add)(fault)
        return before != (not near_lit, not far_lit)


class Topology:
    """Links between devices. A device that is far of no link stands beside the poller."""

    def __init__(self, links: Sequence[Link], devices: Mapping[str, Device]) -> None:
        self.lines = {said.name: Line(said, devices) for said in links}
        self._devices = devices
        self._far = {line.far.name for line in self.lines.values()}

    def update(self) -> list[Device]:
        """Work out carriers and reach; returns the devices touched by a change."""
        touched: dict[str, Device] = {}
        for line in self.lines.values():
            if line.carrier():
                touched[line.near.name] = line.near
                touched[line.far.name] = line.far
        reached = self._reached()
        for name in self._far:
            device = self._devices[name]
            if device.reachable != (name in reached):
                device.reachable = name in reached
                touched[name] = device
        return list(touched.values())

    def _reached(self) -> set[str]:
        """Names of the far devices a packet from the poller gets to."""
        onward: dict[str, list[Line]] = {}
        for line in self.lines.values():
            onward.setdefault(line.near.name, []).append(line)
        todo = [name for name in onward if name not in self._far]
        reached: set[str] = set()
        while todo:
            for line in onward.get(todo.pop(), ()):
                if line.whole and line.far.name not in reached:
                    reached.add(line.far.name)
                    todo.append(line.far.name)
        return reached
