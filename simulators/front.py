"""NETCONF in front of a device of the network, so that it is one device with its SNMP agent.

A port that is down is down in both, counters are the same numbers, and what is configured by
NETCONF is what the agent tells from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from simulators import scenario
from simulators.device import Device, Port
from simulators.mib import PACKET
from simulators.netconf import Fault, FaultKind, NetconfSimulator, PortState, Service, User
from simulators.netconf.state import AlarmEntry, port_path
from simulators.netconf.stream import link_alarm
from simulators.network import Network
from simulators.reading import BadScenario

CHASSIS = "/hw:hardware/hw:component[hw:name='chassis']"
BUSY = 0.6  # of a port's speed is the most a service's traffic takes: it swings
AGAIN_S = 0.1
KINDS = {6: "ethernetCsmacd", 24: "softwareLoopback", 53: "propVirtual", 131: "tunnel"}


def host_key(seed: int, device: str, number: int = 0) -> asyncssh.SSHKey:
    """Return the ed25519 host key of a simulated device: the same for the same seed and name.

    Whoever knows the scenario knows the key; it protects nothing. `number` counts the times the
    device has changed it.
    """
    secret = sha256(f"netopsd simulated host key {seed} {device} {number}".encode()).digest()
    key = Ed25519PrivateKey.from_private_bytes(secret)
    return asyncssh.import_private_key(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


class Fronted:
    """A device of the network as its NETCONF server sees it (netconf.DeviceModel)."""

    def __init__(self, device: Device, network: Network, now: Callable[[], float]) -> None:
        self._device = device
        self._network = network
        self._now = now
        self._watchers: list[Callable[[PortState], None]] = []
        self._configured = {port.name: (port.admin_up, port.said.alias) for port in device.ports}
        self._own_rates: dict[str, tuple[float, float]] = {}  # of ports that carry services
        self.services: tuple[Service, ...] = ()

    @property
    def name(self) -> str:
        return self._device.name

    @property
    def booted(self) -> datetime:
        return self._moment(self._device.powered_on)

    def ports(self) -> Sequence[PortState]:
        now = self._now()
        return tuple(self.state(port, now) for port in self._device.ports)

    def state(self, port: Port, now: float) -> PortState:
        """Return a port as it is at scenario's second `now`; the agent shows the same numbers."""
        return PortState(
            name=port.name,
            index=port.index,
            description=port.said.alias,
            type=KINDS.get(port.said.type, "other"),
            admin_up=port.admin_up,
            oper_up=port.up,
            speed_bps=int(port.said.speed),
            in_octets=port.inward.shown(now),
            out_octets=port.outward.shown(now),
            in_errors=port.errors.since_reset(now),
            in_packets=port.inward.since_reset(now) // PACKET,
            out_packets=port.outward.since_reset(now) // PACKET,
            changed=self._moment(port.changed),
            discontinuity=self._moment(port.discontinuity),
        )

    def configure(self, port: str, *, admin_up: bool, description: str) -> None:
        """Put in force what differs from what was configured last."""
        if self._configured.get(port) == (admin_up, description):
            return
        self._configured[port] = (admin_up, description)
        now, one = self._now(), self._device.port(port)
        self._device.describe(one, description)
        one.admin_up = admin_up
        self._network.settle(now, [self._device])

    def configured(self, port: Port) -> None:
        """Take up what somebody configured at the device itself."""
        self._configured[port.name] = (port.admin_up, port.said.alias)

    def provision(self, services: Sequence[Service]) -> None:
        """Let each service's port carry the sum of its services' rates; others carry their own."""
        if self.services == tuple(services):
            return
        now, device = self._now(), self._device
        self.services = tuple(services)
        rates: dict[str, float] = {}
        for service in services:
            rates[service.port] = rates.get(service.port, 0.0) + service.rate_bps
        for port in device.ports:
            if port.name in rates:
                own = (port.said.inward, port.said.outward)
                self._own_rates.setdefault(port.name, own)
                if rate := min(rates[port.name], BUSY * port.said.speed):
                    device.rate([port], rate, rate)
            elif port.name in self._own_rates:
                device.rate([port], *self._own_rates.pop(port.name))
        self._network.settle(now, [device])

    def watch(self, tell: Callable[[PortState], None]) -> Callable[[], None]:
        self._watchers.append(tell)
        return lambda: self._watchers.remove(tell)

    def tell(self, changed: Sequence[Port], now: float) -> None:
        """Tell those who watch of ports whose oper-status changed."""
        for port in changed:
            for tell in tuple(self._watchers):
                tell(self.state(port, now))

    def _moment(self, second: float) -> datetime:
        return self._network.truth.began + timedelta(seconds=second)


class Front:
    """The NETCONF server of one device (network.Front): there while the device can be reached."""

    def __init__(
        self,
        device: Device,
        network: Network,
        now: Callable[[], float],
        said: scenario.Netconf,
        folder: Path,
    ) -> None:
        self._device = device
        self._network = network
        self._now = now
        self._said = said
        self._down = False  # the server, while the device goes on
        self._boots = device.boots
        self._keys = 0  # times it was changed
        self._first_key = known_key(network.said, device.said, folder)
        self._again = False  # the sessions of now must end
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.port = 0
        self.model = Fronted(device, network, now)
        self.simulator = NetconfSimulator(
            self.model,
            users(network.said, said),
            host_key=self._first_key,
            base_1_1=said.base_1_1,
            candidate=said.candidate,
        )
        self.simulator.nmda, self.simulator.subscribed = said.nmda, said.subscribed
        self.simulator.note = self._note
        for fault in said.faults:
            self._misbehave(fault)

    async def start(self) -> None:
        """Listen. OSError where the port is taken."""
        for port in self.model.ports():
            if port.admin_up and not port.oper_up:
                self.simulator.alarms.put(link_alarm(port))
        wanted = self._said.port or self._network.said.network.netconf_port
        await self.simulator.start(self._device.said.address, wanted)
        self.port = self.simulator.port
        self._task = asyncio.create_task(self._follow(), name=f"netconf {self._device.name}")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.simulator.stop()

    @property
    def host_key_line(self) -> str:
        return self.simulator.host_key_line

    def truth(self) -> dict[str, object]:
        """Return what is true of the server now."""
        simulator = self.simulator
        return {
            "sessions": len(simulator.sessions),
            "rpcs": simulator.rpcs,
            "edits": len(simulator.edits),
            "services": [service.id for service in self.model.services],
            "locks": dict(simulator.stores.locks),
            "unconfirmed": simulator.commits.pending,
            "dirty": simulator.stores.dirty,
        }

    # ---- network.Front

    def settled(self, changed: Sequence[Port], now: float) -> None:
        self.model.tell(changed, now)
        if self._device.boots != self._boots:
            self._boots, self._again = self._device.boots, True
        self._wake.set()

    def configured(self, port: Port, now: float) -> None:
        self.model.configured(port)
        self.simulator.stores.configured(port.name, enabled=port.admin_up)
        self.simulator.changed("console")

    def do(self, at: scenario.At, now: float) -> None:
        match at.do:
            case "alarm_raise" | "alarm_clear":
                self._alarm(at)
            case "netconf_down" | "netconf_up":
                self._down = at.do == "netconf_down"
            case "netconf_cut":
                self.simulator.cut_sessions()
            case "netconf_forget":
                self.simulator.stream.forget(datetime.now(UTC))
            case "netconf_fault" if at.mode == "none":
                self.simulator.faults.clear()
            case "netconf_fault":
                times = at.times if "times" in at.model_fields_set else 1_000_000
                self._misbehave(scenario.NetconfFault(kind=at.mode, rpc=at.rpc, times=times))
            case _:
                self._change_key(at.mode == "new")
        self._wake.set()

    def _alarm(self, at: scenario.At) -> None:
        clear = at.do == "alarm_clear"
        resource = port_path(at.port) if at.port else at.resource or CHASSIS
        known = self.simulator.alarms.entries.get((resource, at.alarm, at.qualifier))
        if clear and known is None:
            raise ValueError(f"alarm_clear: {self._device.name} has no alarm {at.alarm}")
        self.simulator.alarms.put(
            AlarmEntry(
                resource=resource,
                type_id=at.alarm,
                qualifier=at.qualifier,
                severity=known.severity if clear and known else at.severity,
                text=at.text or (known.text if known else at.alarm),
                cleared=clear,
                changed=datetime.now(UTC),
            )
        )

    def _misbehave(self, said: scenario.NetconfFault) -> None:
        self.simulator.faults.add(
            Fault(
                kind=FaultKind(said.kind),
                rpc=said.rpc,
                times=said.times,
                pause_s=said.pause,
                lasts_s=said.lasts,
            )
        )

    def _change_key(self, new: bool) -> None:
        """Show another host key from now on, or the first one again."""
        self._keys += new
        seed = self._network.said.network.seed
        changed = host_key(seed, self._device.name, self._keys) if new else self._first_key
        self.simulator.host_key = changed
        self._again = True

    def _note(self, what: str, **more: object) -> None:
        self._network.truth.say(f"netconf_{what}", self._now(), device=self._device.name, **more)

    # ---- the socket

    async def _follow(self) -> None:
        """Be there while the device is on and within reach, and not while it is not."""
        up = True
        while True:
            await self._wake.wait()
            self._wake.clear()
            again, self._again = self._again, False
            wanted = self._device.powered and self._device.reachable and not self._down
            if up and (again or not wanted):
                await self.simulator.shut()
                up = False
            if wanted and not up:
                try:
                    await self.simulator.start(self._device.said.address, self.port)
                    up = True
                except OSError:  # somebody has the port for a moment
                    asyncio.get_running_loop().call_later(AGAIN_S, self._wake.set)


def users(said: scenario.Scenario, netconf: scenario.Netconf) -> tuple[User, ...]:
    """Return who may log in to a device."""
    return tuple(
        User(
            name=user.name,
            password=user.password,
            public_key=user.public_key,
            may_edit=user.edit,
        )
        for user in said.netconf_user
        if not netconf.users or user.name in netconf.users
    )


def known_key(said: scenario.Scenario, device: scenario.Device, folder: Path) -> asyncssh.SSHKey:
    """Return the host key a device starts with. Raises BadScenario where its file is no key."""
    if device.netconf is not None and device.netconf.host_key:
        path = folder / device.netconf.host_key
        try:
            return asyncssh.read_private_key(path)
        except (OSError, ValueError) as error:
            what = f"device {device.name}.netconf.host_key: {path}: {error}"
            raise BadScenario([what]) from error
    return host_key(said.network.seed, device.name)
