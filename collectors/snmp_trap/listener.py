"""Hears traps and informs, and tells the inbox (ports.Listener).

Receiving is urgent and kept apart from judging: what the kernel holds is taken at once, sorted by
source, and judged a bounded number at a time. One `Events` goes to the inbox for each turn.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from collectors.snmp_codec.ber import DecodeError
from collectors.snmp_codec.message import INFORM
from collectors.snmp_trap.fair import Backlog, Datagram, Sources
from collectors.snmp_trap.informs import Informs, Received
from collectors.snmp_trap.ledger import Ledger
from collectors.snmp_trap.names import Names, Resolve, resolve
from collectors.snmp_trap.parse import Body, Notification, WrongCommunity, peek, read, response_to
from collectors.snmp_trap.secured import Secured
from collectors.snmp_trap.settings import TrapSettings
from collectors.snmp_trap.udp import dropped, opened, passed_by_systemd, prepare
from netopsd.core.copies import event
from netopsd.core.model import Event, Events
from netopsd.ports import Clock, Inbox, Worker

RECEIVE_MOST = 1024  # datagrams taken from the kernel at once: a few ms
JUDGE_MOST = 512  # judged at once: a few ms
QUIET_S = 0.005  # a datagram that long after the last turn is judged at once
GATHER_S = (0.005, 0.04)  # otherwise the next ones are waited for, at least and at most so long
GATHER_EACH_S = 0.0002  # for each that came last: below 5,000 a second the wait becomes the least
MAX_OCTETS = 65_535
V3 = 3


class TrapListener:
    """Traps and informs of the configured devices.

    `devices` maps an address, or a host name, to the device's name. SNMPv3 needs `worker`, built
    for the handler `collectors.snmp_trap.usm:begin`; without it, or without users, it is only
    counted.
    """

    def __init__(
        self,
        settings: TrapSettings,
        devices: Mapping[str, str],
        clock: Clock,
        state_dir: Path,
        worker: Worker | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._names = Names(clock, resolve)
        self._ledger = Ledger()
        self._backlog = Backlog(settings.backlog)
        self._informs = Informs(clock, self._ledger, settings.backlog // 4)
        self._secured = Secured(settings, clock, state_dir, worker, self._ledger)
        self._communities = frozenset(
            secret.get_secret_value().encode() for secret in settings.communities
        )
        self._sock: socket.socket | None = None
        self._dropped_before = 0
        self.receive_buffer = 0  # octets the kernel gave
        self.know(devices)

    def know(self, devices: Mapping[str, str]) -> None:
        """Take `devices` for the configured sources from now on."""
        self._names.know(devices)
        self._hear_from()

    def _hear_from(self) -> None:
        self._devices = self._names.addresses()
        self._sources = Sources(
            self._devices,
            frozenset(self._settings.forwarders),
            (self._settings.source_rate, self._settings.network_rate),
            self._settings.accept_unknown_sources,
        )

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens, once it does."""
        return None if self._sock is None else self._sock.getsockname()[:2]

    def stats(self) -> Mapping[str, int]:
        """Return the counts of `Ledger`, and "in_flight": received and not dealt with yet.

        received == the ends (Ledger.ended) + in_flight, at any moment the event loop can see.
        """
        if self._sock is not None:
            self._ledger.kernel_dropped = dropped(self._sock) - self._dropped_before
        flying = len(self._backlog) + len(self._secured) + len(self._informs)
        return {**self._ledger.snapshot(), "in_flight": flying}

    async def listen(self, inbox: Inbox) -> None:
        """Hear until cancelled. Raises BadConfiguration where it cannot listen at all."""
        passed = passed_by_systemd(os.environ, os.getpid())
        with passed or opened(self._settings.listen) as sock:
            self.receive_buffer = prepare(sock, self._settings.receive_buffer)
            self._dropped_before = dropped(sock)
            self._secured.begin()
            self._sock = sock
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._names.follow(self._hear_from))
                    tasks.create_task(self._informs.acknowledge(sock, inbox))
                    tasks.create_task(self._secured.judge(sock, inbox, self._informs))
                    await self._hear(sock, inbox)
            finally:
                self.stats()  # the last look at what the kernel dropped
                self._sock = None

    async def _hear(self, sock: socket.socket, inbox: Inbox) -> None:
        last, heard = self._clock.mono_s(), 0
        while True:
            if not self._backlog:
                await _readable(sock)
                if self._clock.mono_s() - last < QUIET_S:
                    await self._clock.sleep(gather_s(heard))
            before = self._ledger.received
            self._receive(sock)
            heard = self._ledger.received - before
            self._judge(inbox)
            await self._clock.sleep(0)
            last = self._clock.mono_s()

    def _receive(self, sock: socket.socket) -> None:
        """Take what the kernel holds, drop what may not be heard, queue the rest by source."""
        now = self._clock.mono_s()
        ledger, receive, sources = self._ledger, sock.recvmsg, self._sources
        for _ in range(RECEIVE_MOST):
            try:
                data, ancillary, _, peer = receive(MAX_OCTETS, 128)
            except OSError:  # nothing left, or an ICMP error of an earlier answer
                return
            ledger.received += 1
            source = sources.by_host.get(peer[0]) or sources.stranger(peer[0])
            if source is None:
                ledger.unknown_source += 1
                continue
            cost = 1.0 + (len(data) >> 10)  # judging takes as long as a datagram is large
            if not (source.bucket.take(now, cost) and source.network.take(now, cost)):
                ledger.rate_limited += 1
                continue
            kind = peek(data)
            datagram = Datagram(source, data, kind, (peer, ancillary))
            if not self._backlog.add(datagram, kind == INFORM):
                ledger.overflow += 1

    def _judge(self, inbox: Inbox) -> None:
        """Tell the inbox of the fairest few of the backlog, equal ones as one with a count.

        An equal one counts where the last of them came, so the order of a source's states holds.
        """
        folded: dict[tuple[str, str, Body], int] = {}
        for datagram in self._backlog.take(JUDGE_MOST):
            if datagram.kind == V3:
                self._secured.add(datagram)
                continue
            said = self._read(datagram)
            if said is None:
                continue
            source = datagram.source
            device = source.device
            if said.agent and source.address in self._settings.forwarders:
                device = self._devices.get(said.agent, device)
            if said.tag == INFORM:
                self._inform(datagram, device, said)
            else:
                key = (source.address, device, said.body)
                folded[key] = folded.pop(key, 0) + 1
        self._tell(inbox, folded)

    def _read(self, datagram: Datagram) -> Notification | None:
        try:
            return read(datagram.data, self._communities)
        except WrongCommunity:
            self._ledger.wrong_community += 1
        except DecodeError:
            self._ledger.malformed += 1
        return None

    def _tell(self, inbox: Inbox, folded: Mapping[tuple[str, str, Body], int]) -> None:
        if not folded:
            return
        at = self._clock.now()
        items = tuple(
            [
                event(at, device, source, body.name, body.values, count)
                for (source, device, body), count in folded.items()
            ]
        )
        total = sum(folded.values())
        if inbox.offer(Events(at=at, items=items)):
            self._ledger.emitted += total
            self._ledger.folded += total - len(items)
        else:
            self._ledger.overflow += total

    def _inform(self, datagram: Datagram, device: str, said: Notification) -> None:
        told = Event(
            at=self._clock.now(),
            device=device,
            source=datagram.source.address,
            name=said.body.name,
            values=said.body.values,
            confirmed=True,
        )
        self._informs.add(Received(datagram, lambda: response_to(datagram.data)), told)


def gather_s(heard: int) -> float:
    """Return how long to wait for more where `heard` came last.

    A wake-up and a commit cost more than many a trap: in a storm they are shared. Where none is,
    what counts is how soon one is told of.
    """
    least_s, most_s = GATHER_S
    return min(most_s, max(least_s, heard * GATHER_EACH_S))


async def _readable(sock: socket.socket) -> None:
    """Return once `sock` has something."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)
