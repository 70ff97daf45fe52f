"""The simulated network on real sockets: one wildcard UDP socket serves every address.

The kernel tells which loopback address a datagram was sent to (IP_PKTINFO) and is told which one
to answer from, so thousands of devices need one descriptor.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from simulators import agent, events
from simulators.device import Device
from simulators.network import Network
from simulators.notify import Told
from simulators.scenario import At, Scenario
from simulators.teller import Teller
from simulators.truth import Truth

if TYPE_CHECKING:
    from simulators.front import Front

IP_PKTINFO = 8  # Linux; Python names it from 3.12 on
SO_BINDTODEVICE = 25
PKTINFO = struct.Struct("=I4s4s")
BUFFER = 1 << 23
AT_ONCE = 64  # datagrams read before the loop gets its turn


class Server:
    """A running network. `start` opens, `close` ends; the constructor does neither."""

    def __init__(self, said: Scenario, folder: Path, keep: Callable[[str], object]) -> None:
        self._began = time.monotonic()
        self.truth = Truth(datetime.now(UTC), keep)
        users = {user.name: user for user in said.user}
        self._users = users
        self.teller = Teller(said.traps, users, self._send)
        self.network = Network(said, folder, self.truth, self._tell)
        self._by_address = {
            socket.inet_aton(device.said.address): device
            for device in self.network.devices.values()
        }
        self._said = said
        self._sock: socket.socket | None = None
        self._strange: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0
        self._begun = False
        self._due = inf  # when the next event is
        self._advancing = False
        self.unknown = 0  # datagrams to addresses nobody has
        self.fronts = self._fronts(folder)

    def _fronts(self, folder: Path) -> dict[str, Front]:
        """Return the NETCONF servers by device, not started."""
        speaking = [d for d in self.network.devices.values() if d.said.netconf is not None]
        if not speaking:
            return {}
        from simulators.front import Front  # loads the SSH server

        return {
            device.name: Front(device, self.network, self.current, device.said.netconf, folder)
            for device in speaking
            if device.said.netconf is not None
        }

    def now(self) -> float:
        """Return the scenario's second."""
        return time.monotonic() - self._began

    async def start(self, hold: bool = False) -> None:
        """Bind, and begin the story unless it is to be held. OSError where the port is taken."""
        self._sock = _open(self._said.network.port)
        self._strange = _open(0)
        self.port = self._sock.getsockname()[1]
        self._began = time.monotonic()
        self.truth.began = datetime.now(UTC)
        asyncio.get_running_loop().add_reader(self._sock, self._readable)
        now = 0.0
        self.truth.say(
            "start",
            now,
            port=self.port,
            seed=self._said.network.seed,
            devices=len(self.network.devices),
        )
        self.network.topology.update()
        for device in self.network.devices.values():
            device.settle(now)
        self.network.opening(now)
        for name, front in self.fronts.items():
            await front.start()
            self.network.fronts[name] = front
        if not hold:
            self.begin(0.0)
        self._tasks.append(asyncio.create_task(self._sample(), name="truth"))
        self._advance()

    def begin(self, at: float | None = None) -> None:
        """Tell the story: its times count from `at`, or now. Once; later calls do nothing."""
        if not self._begun:
            self._begun = True
            at = self.current() if at is None else at
            events.plan(self.network, at)
            self.truth.say("begin", at)
            self._advance()

    async def close(self) -> None:
        """Write down the end and free everything."""
        now = self.current()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._timer:
            self._timer.cancel()
        if self._sock and self._strange:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._strange.close()
            self._sock = None
        for front in self.fronts.values():
            await front.close()
        for device in self.network.devices.values():
            self.network.octets(device, "end", now)
        self.truth.say("end", now, **self.counts(), **self.network.totals(now))

    def counts(self) -> dict[str, int]:
        """Return what was asked and answered so far."""
        devices = self.network.devices.values()
        return {
            "requests": sum(device.requests for device in devices),
            "responses": sum(device.responses for device in devices),
            "varbinds": sum(device.varbinds for device in devices),
            "refused": sum(device.refused for device in devices),
            "unknown": self.unknown,
            "traps": self.teller.sent,
            "informs_acknowledged": self.teller.acknowledged,
            "informs_given_up": self.teller.given_up,
            "netconf_rpcs": sum(front.simulator.rpcs for front in self.fronts.values()),
        }

    def do(self, at: At) -> None:
        """Do an event now, or `after` seconds from now. Raises ValueError."""
        now = self.current()
        if at.after:
            self.network.after(now + at.after, partial(events.carry, self.network, at))
        else:
            events.carry(self.network, at, now)
        self._advance()

    # ---- time

    def current(self) -> float:
        """Return the scenario's second, once everything due by then is done.

        Whatever is shown or written down is asked for by this, so that an event is in force from
        its own time on, however late the loop gets to it, and no counter is seen to go back.
        """
        now = self.now()
        if self._due <= now and not self._advancing:
            self._advance()
            now = self.now()
        return now

    def _advance(self) -> None:
        self._advancing = True
        try:
            self.network.advance(self.now())
        finally:
            self._advancing = False
        if self._timer:
            self._timer.cancel()
        due = self.network.next_due()
        self._due = inf if due is None else due
        if due is not None:
            wait = max(0.0, due - self.now())
            self._timer = asyncio.get_running_loop().call_later(wait, self._advance)

    async def _sample(self) -> None:
        every = self._said.network.sample_every
        while every:
            for n, device in enumerate(list(self.network.devices.values())):
                self.network.octets(device, "interval", self.current())
                if n % 10 == 9:
                    await asyncio.sleep(0)
            await asyncio.sleep(every)

    # ---- datagrams

    def _readable(self) -> None:
        sock = self._sock
        if sock is None:
            return
        receive, devices, room = sock.recvmsg, self._by_address, socket.CMSG_SPACE(12)
        for _ in range(AT_ONCE):
            try:
                data, control, _, source = receive(65535, room)
            except BlockingIOError:
                return
            except ConnectionError:  # an ICMP error of an earlier answer: nobody listens there
                continue
            if not control:
                continue
            device = devices.get(control[0][2][8:12])
            now = self.current()
            if device is None:
                self.unknown += 1
            elif device.answers:
                self._handle(device, data, source, now)

    def _handle(self, device: Device, data: bytes, source: tuple[str, int], now: float) -> None:
        random = device.random.random
        if device.loss and random() < device.loss:
            return
        if self.teller.targets and self.teller.heard(data, now, self.truth):
            return
        for one in agent.answer(device, data, now, self._users):
            after = one.after + device.delay
            copies = 1 + (device.duplicate > 0 and random() < device.duplicate)
            if device.loss and random() < device.loss:
                continue
            for _ in range(copies):
                if after:
                    later = asyncio.get_running_loop().call_later
                    later(after, self._send, device, one.data, source, one.strange)
                else:
                    self._send(device, one.data, source, one.strange)

    def _send(
        self, device: Device, data: bytes, to: tuple[str, int], strange: bool = False
    ) -> None:
        sock = self._strange if strange else self._sock
        if sock is None or not device.answers:
            return
        info = PKTINFO.pack(0, socket.inet_aton(device.said.address), b"\0\0\0\0")
        with contextlib.suppress(OSError):  # a full buffer, nobody there: the network loses things
            sock.sendmsg([data], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, to)

    def _tell(self, device: Device, told: Told, at: At | None) -> None:
        self.teller.tell(device, told, at, self.now(), self.truth, self._later)

    def _later(self, due: float, act: Callable[[float], None]) -> None:
        self.network.after(due, act)
        asyncio.get_running_loop().call_soon(self._advance)


def _open(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        with contextlib.suppress(PermissionError):  # nothing from outside reaches 127/8 anyway
            sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo")
        sock.bind(("0.0.0.0", port))
    except OSError:
        sock.close()
        raise
    return sock
