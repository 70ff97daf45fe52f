"""The engine of our own: requests planned once, answers compared, one socket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from collectors.snmp_codec.ber import DecodeError
from collectors.snmp_codec.message import Pdu, decode
from collectors.snmp_poll.engine import Values, Walked
from collectors.snmp_poll.exchange import MALFORMED, Exchange, Probe, Question
from collectors.snmp_poll.parse import AUTHORIZATION, NO_ACCESS, Packet, status_name
from collectors.snmp_poll.plan import Wanted, check, packets
from collectors.snmp_poll.request import Peer
from collectors.snmp_poll.settings import SnmpPollSettings, Target
from collectors.snmp_poll.udp import Transport
from collectors.snmp_poll.walk import Walk, request
from netopsd.core.model import Blind
from netopsd.errors import CannotLook
from netopsd.ports import Clock

if TYPE_CHECKING:
    from collectors.snmp_poll.security import Security

SYS_UPTIME = "1.3.6.1.2.1.1.3"
Plan = tuple[Packet, ...]


class PlannedSession:
    """One device over the shared socket; `security` is that of an SNMPv3 one."""

    def __init__(
        self,
        target: Target,
        settings: SnmpPollSettings,
        transport: Transport,
        clock: Clock,
        security: Security | None = None,
    ) -> None:
        self._target = target
        self._settings = settings
        self._transport = transport
        self._clock = clock
        secret = target.credentials.community
        community = secret.get_secret_value() if secret else ""
        self._bulk = target.credentials.version != "1"
        self._opening = check(1 if self._bulk else 0, community.encode())
        self._security = security
        self._peer: Peer | None = None
        self._dead: bool | None = None  # whether the latest probe was not answered; None before it

    def plan(self, wanted: Wanted, most: int) -> Plan:
        """Return the requests for `wanted`, encoded."""
        octets = self._settings.packet_octets
        if self._security is not None:
            octets -= self._security.overhead
        return packets(self._opening, wanted, most, octets)

    async def _at(self) -> Peer:
        peer = self._peer
        if peer is None:
            target = self._target
            try:
                peer = await self._transport.peer(target.address, target.port, self._opening)
            except OSError as error:
                raise self._blind(Blind.UNREACHABLE, f"{target.address}: {error}") from error
            peer.timeout_s = target.timeout_s or self._settings.timeout_s
            peer.retries = self._settings.retries if target.retries is None else target.retries
            peer.any_source = target.any_source
            peer.security = self._security
            self._peer = peer
        return peer

    def _blind(self, why: Blind, detail: str) -> CannotLook:
        return CannotLook(self._target.name, why, detail)

    def _silent(self, said: Exchange | Probe | Question) -> CannotLook:
        where = f"{self._target.address} port {self._target.port}"
        self._peer = None  # a name may have moved to another address
        if said.trouble:
            return self._blind(Blind.UNREACHABLE, said.trouble)
        if self._security is not None:
            refusal = self._security.refusal()
            self._security.forget()  # whatever it is, it may have begun a new life
            if refusal is not None:
                return self._blind(refusal[0], refusal[1])
        if said.garbled:
            return self._blind(Blind.MALFORMED, f"{where} answers, but nothing we could read")
        return self._blind(Blind.UNREACHABLE, f"no answer from {where}")

    async def get(self, plan: Plan) -> Values:
        """Return what could be read. CannotLook where no answer came, or nothing but refusals."""
        peer = await self._at()
        loop = asyncio.get_running_loop()
        exchange = Exchange(
            self._transport, peer, self._clock, loop.time() + self._settings.look_max_s
        )
        size = plan[-1].first + len(plan[-1].kinds) if plan else 0
        values = await exchange.get(plan, size, self._settings.device_in_flight)
        if not exchange.answered_once:
            raise self._silent(exchange)
        if len(values.wrong) == size:
            if exchange.refused:
                raise self._blind(Blind.REJECTED, exchange.refused)
            if exchange.garbled:
                raise self._blind(Blind.MALFORMED, MALFORMED)
        return values

    async def probe(self) -> None:
        """Return where sysUpTime is answered, be it with an error; CannotLook where not."""
        wanted = Wanted()
        wanted.add(SYS_UPTIME, "0", 0)
        only = self.plan(wanted, 1)[0]
        probe = Probe(self._transport, await self._at(), self._dead)
        self._dead = not await probe.ask(only.head, only.tail)
        if self._dead:
            raise self._silent(probe)

    async def walk(self, columns: Sequence[str], repetitions: int) -> Walked:
        """Return the instances of each column, read by GETBULK (GETNEXT in v1), interleaved."""
        settings, peer = self._settings, await self._at()
        walk = Walk(columns, repetitions, settings.walk_varbinds, self._bulk)
        counts = self._transport.counts
        counts.walks += 1
        until = asyncio.get_running_loop().time() + settings.walk_max_s
        octets, heard, refused, unanswered = 0, False, "", 0
        while oids := walk.asking():
            # A try that times out is not repeated as it was: it asks for less.
            question = Question(self._transport, peer)
            head, tail = request(self._opening, oids, walk.asking_repetitions if self._bulk else 0)
            data = await question.ask(head, tail)
            if data is None:
                unanswered += 1
                walk.timed_out()
                if unanswered > peer.retries or question.trouble:
                    if not heard:
                        raise self._silent(question)
                    walk.stop("timeout")
            else:
                heard, unanswered = True, 0
                octets += len(data)
                refused = self._take(walk, data) or refused
            if octets > settings.walk_octets:
                walk.stop("too many octets")
            elif asyncio.get_running_loop().time() > until:
                walk.stop("the walk took too long")
        result = walk.result()
        if refused and not any(result.columns.values()):
            raise self._blind(Blind.REJECTED, refused)
        for reason in result.errors.values():
            counts.walk_error(reason)
        return result

    def _take(self, walk: Walk, data: bytes) -> str:
        """Hand an answer to `walk`; return the refusal of our rights in it, if it is one."""
        try:
            pdu = decode(data).pdu
        except DecodeError:
            self._transport.counts.decode_errors += 1
            walk.stop(MALFORMED)
            return ""
        if not isinstance(pdu, Pdu):
            walk.stop(MALFORMED)
            return ""
        self._transport.counts.varbinds += len(pdu.varbinds)
        if pdu.error_status:
            walk.refused(pdu)
            refusal = pdu.error_status in (NO_ACCESS, AUTHORIZATION)
            return status_name(pdu.error_status) if refusal else ""
        walk.take(pdu.varbinds)
        return ""

    def together(self, plan: Plan) -> tuple[Peer, Plan] | None:
        """Return the device as the socket sees it, once that is known, and its packets."""
        return (self._peer, plan) if self._peer is not None and plan else None

    async def close(self) -> None:
        self._peer = None
