"""The whole simulated network: its devices, the links between them, and what befalls them.

Pure but for what it is given to talk to: time is passed in, truth and traps go out by callbacks.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Protocol

from simulators import mib, notify, scenario
from simulators.device import Device, Port
from simulators.notify import Told
from simulators.replay import UPTIME, Recording
from simulators.shape import Shape
from simulators.topology import Topology
from simulators.truth import Truth
from simulators.wire import number

Tell = Callable[[Device, Told, "scenario.At | None"], None]
Act = Callable[[float], None]


class Front(Protocol):
    """A management server of a device beside its SNMP agent."""

    def settled(self, changed: Sequence[Port], now: float) -> None:
        """Hear that states were worked out anew; `changed` are ports whose ifOperStatus changed."""
        ...

    def do(self, at: scenario.At, now: float) -> None:
        """Do one of scenario.NETCONF's events."""
        ...

    def configured(self, port: Port, now: float) -> None:
        """Hear that somebody changed a port's configuration at the device itself."""
        ...


class Network:
    """Devices by name and what happens to them. `advance` carries out what is due."""

    def __init__(self, said: scenario.Scenario, folder: Path, truth: Truth, tell: Tell) -> None:
        self.said = said
        self.truth = truth
        self.tell = tell
        self._shapes: dict[object, Shape] = {}
        self._recordings: dict[Path, Recording] = {}
        self.devices = {one.name: self._build(one, folder) for one in said.device}
        self.topology = Topology(said.link, self.devices)
        self._due: list[tuple[float, int, Act]] = []
        self._order = 0
        self._numbers = 0
        self.fronts: dict[str, Front] = {}

    def _build(self, said: scenario.Device, folder: Path) -> Device:
        if said.replay:
            return self._build_recorded(said, folder / said.replay)
        listed = said.ports if isinstance(said.ports, tuple) else ()
        indexes = [port.index or at for at, port in enumerate(listed, 1)]
        ports = self._ports(said, listed, indexes)
        return Device(said, self._shape(said, indexes), ports, self.said.network.seed)

    def _ports(
        self, said: scenario.Device, listed: Iterable[scenario.Port], indexes: list[int]
    ) -> list[Port]:
        random = Random(f"{self.said.network.seed}:{said.name}:ports")
        swing = self.said.network.swing
        return [Port(port, at, swing, random) for port, at in zip(listed, indexes, strict=True)]

    def _shape(self, said: scenario.Device, indexes: list[int]) -> Shape:
        made = mib.make(said, indexes)
        if made not in self._shapes:
            self._shapes[made] = Shape(mib.rows(made))
        return self._shapes[made]

    def _build_recorded(self, said: scenario.Device, path: Path) -> Device:
        recording = self._recordings.get(path) or Recording(path)
        self._recordings[path] = recording
        key = (path, said.moving)
        if key not in self._shapes:
            rows = recording.moving() if said.moving else recording.rows
            self._shapes[key] = Shape(recording.stateful(rows), recording.errors)
        ports = self._ports(said, recording.ports, [port.index for port in recording.ports])
        if said.moving and (ticks := recording.number(UPTIME)):
            said = said.model_copy(update={"uptime": ticks / 100})
        device = Device(said, self._shapes[key], ports, self.said.network.seed)
        for at, port in enumerate(ports):
            recording.dress(device, at, port)
        return device

    # ---- time

    def after(self, due: float, act: Act) -> None:
        """Do `act` at a scenario's second."""
        self._order += 1
        heapq.heappush(self._due, (due, self._order, act))

    def next_due(self) -> float | None:
        """Return when the next thing happens; None where nothing will."""
        return self._due[0][0] if self._due else None

    def advance(self, now: float) -> None:
        """Carry out everything due until `now`, each at its own time."""
        while self._due and self._due[0][0] <= now:
            due, _, act = heapq.heappop(self._due)
            act(due)

    # ---- states

    def fault(self, do: str, now: float, **more: object) -> int:
        """Write down that something was done; returns its number."""
        self._numbers += 1
        self.truth.say("event", now, id=self._numbers, do=do, **more)
        return self._numbers

    def settle(self, now: float, also: Iterable[Device] = ()) -> None:
        """Work out links, reach, states and traffic anew, write down what changed, send traps."""
        touched = {device.name: device for device in also}
        for device in self.topology.update():
            touched[device.name] = device
        changed = {name: device.settle(now) for name, device in touched.items()}
        for name, device in touched.items():
            self._say_device(device, now)
            for port in changed[name]:
                state = "up" if port.up else "down"
                self.truth.say(
                    "port", now, device=name, port=port.name, oper=state, why=sorted(port.faults)
                )
            self.octets(device, "event", now)
        for name, ports in changed.items():
            for port in ports:
                self.trap(touched[name], notify.link(port, port.up), now)
            if name in self.fronts:
                self.fronts[name].settled(ports, now)

    def _say_device(self, device: Device, now: float) -> None:
        state = "answers" if device.answers else "silent"
        if state != device.said_state:
            device.said_state = state
            device.silent_s += now - device.silent_since if state == "answers" else 0.0
            device.silent_since = now
            why = [] if device.powered else ["off"]
            why += ["agent silent"] if device.silent else []
            why += [] if device.reachable else ["cut off"]
            self.truth.say("device", now, device=device.name, state=state, why=why)

    def opening(self, now: float) -> None:
        """Write down how everything stands at the start: what is down, and every count."""
        for device in self.devices.values():
            for port in device.ports:
                if not port.up:
                    why = sorted(port.faults) or ["admin"]
                    self.truth.say(
                        "port", now, device=device.name, port=port.name, oper="down", why=why
                    )
            self.octets(device, "start", now)

    def totals(self, now: float) -> dict[str, object]:
        """Return seconds of silence by device and of being down by port, where there were any."""
        silent = {d.name: d.silent_until(now) for d in self.devices.values()}
        down = {
            d.name: {port.name: port.down_until(now) for port in d.ports if port.down_until(now)}
            for d in self.devices.values()
        }
        return {
            "silent_s": {name: round(s, 6) for name, s in silent.items() if s},
            "down_s": {name: ports for name, ports in down.items() if ports},
        }

    def octets(self, device: Device, reason: str, now: float) -> None:
        """Write down the true octets of a device's ports."""
        ports = {
            port.name: [port.inward.total(now), port.outward.total(now)] for port in device.ports
        }
        if ports:
            self.truth.say("octets", now, reason=reason, device=device.name, ports=ports)

    def trap(self, device: Device, told: Told, now: float, at: scenario.At | None = None) -> None:
        """Send a notification, or write down that the device could not."""
        if not device.said.traps and at is None:
            return
        if device.answers:
            self.tell(device, told, at)
        else:
            self.truth.say("trap_lost", now, device=device.name, trap=told.trap, why="silent")

    def renumber(self, device: Device, now: float) -> None:
        """Shuffle a device's ifIndexes; ports keep their names."""
        indexes = [port.index for port in device.ports]
        shuffled = indexes[:]
        while len(indexes) > 1 and shuffled == indexes:
            device.random.shuffle(shuffled)
        for port, index in zip(device.ports, shuffled, strict=True):
            port.index = index
        device.wear(self._shape(device.said, shuffled))
        device.put("table_changed", number(device.uptime_ticks(now), 0x43))
