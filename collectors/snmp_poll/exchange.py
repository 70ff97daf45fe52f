"""One planned GET on its way: several packets to one device, their refusals narrowed down."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from collectors.snmp_codec.ber import DecodeError
from collectors.snmp_codec.message import Pdu
from collectors.snmp_poll.door import AGAIN, DEAD, FIRST, NEW
from collectors.snmp_poll.engine import Values
from collectors.snmp_poll.parse import (
    AUTHORIZATION,
    NO_ACCESS,
    TOO_BIG,
    Packet,
    status_name,
)
from collectors.snmp_poll.plan import packet, split
from collectors.snmp_poll.request import Peer, Request
from collectors.snmp_poll.udp import Transport
from netopsd.ports import Clock

BACKOFF = 1.5  # each retry waits so much longer
MALFORMED = "malformed answer"


class Exchange:
    """Sends packets, a window of them at a time, until each is answered or given up.

    Until the device has answered once only the first packet is repeated: a dead device costs its
    retries once. A refused packet is narrowed down to the variable at fault (RFC 3416 section
    4.2.1: error-index; agents lie about it), within a bound of extra packets.
    """

    def __init__(self, transport: Transport, peer: Peer, clock: Clock, until: float) -> None:
        self._transport = transport
        self._peer = peer
        self._clock = clock
        self._until = until  # of the event loop's time
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._waiting: deque[Packet] = deque()
        self._parked: list[Request] = []
        self._sent: dict[int, Request] = {}
        self._wrong: dict[int, str] = {}
        self._extra = 0
        self._answers = 0
        self._lead: Request | None = None
        self._at: datetime | None = None
        self._mono_s = 0.0
        self._shrink = False
        self.garbled = False
        self.refused = ""  # what the device said, where it refused our rights
        self.trouble = ""  # why nothing could be sent

    @property
    def answered_once(self) -> bool:
        return self._answers > 0

    async def get(self, packets: Sequence[Packet], size: int, window: int) -> Values:
        """Return what came. `answered_once` tells whether the device answered at all."""
        self._raw = np.zeros(size, np.uint64)
        self._waiting.extend(packets)
        self._extra = 2 * len(packets) + 64
        for _ in range(min(window, len(packets))):
            self._next()
        if not self._sent:
            self._finish()
        try:
            await self._done
        finally:
            if self._sent:
                self._drop()
        at = self._at if self._at is not None else self._clock.now()
        return Values(self._raw, self._wrong, at, self._mono_s, self._shrink)

    def _next(self) -> None:
        if self._waiting:
            self._send(self._waiting.popleft())

    def _send(self, what: Packet) -> None:
        request = Request(self, self._peer, what.head, what.tail)
        request.packet = what
        request.mark = self._answers
        self._sent[id(request)] = request
        if self._lead is None:
            self._lead = request
        self._transport.send(request)

    def answered(self, request: Request, data: bytes, span: tuple[int, int]) -> None:
        self._answers += 1
        if self._at is None:
            self._at, self._mono_s = self._clock.now(), self._clock.mono_s()
            parked, self._parked = self._parked, []
            for each in parked:
                self._transport.send(each)
        del self._sent[id(request)]
        what: Packet = request.packet
        try:
            pdu = what.read(data, span, self._raw, self._wrong)
            if pdu is None:
                self._transport.counts.varbinds += len(what.kinds)
            else:
                self._narrow(what, pdu)
        except DecodeError:
            self._transport.counts.decode_errors += 1
            self.garbled = True
            self._lose(what, MALFORMED)
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting and self._loop.time() > self._until:
            while self._waiting:
                self._lose(self._waiting.popleft(), "the look took too long")
        self._next()
        if not self._sent:
            self._finish()

    def _narrow(self, what: Packet, pdu: Pdu) -> None:
        """Ask again without the variable the device refuses, or in halves where it names none."""
        status, count = pdu.error_status, len(what.kinds)
        reason = status_name(status)
        if status in (NO_ACCESS, AUTHORIZATION):
            self.refused = reason
        if status == TOO_BIG:
            self._shrink = True
        if count == 1 or self._extra <= 0:
            self._lose(what, reason)
        elif status != TOO_BIG and 1 <= pdu.error_index <= count:
            at = pdu.error_index - 1
            self._wrong[what.first + at] = reason
            names = list(what.names())
            opening = self._peer.check
            for begin, end in ((0, at), (at + 1, count)):
                if begin < end:
                    rest = packet(
                        opening, names[begin:end], what.first + begin, what.kinds[begin:end]
                    )
                    self._again(rest)
        else:
            for half in split(self._peer.check, what):
                self._again(half)

    def _again(self, what: Packet) -> None:
        self._extra -= 1
        self._waiting.appendleft(what)

    def _lose(self, what: Packet, reason: str) -> None:
        for slot in range(what.first, what.first + len(what.kinds)):
            self._wrong.setdefault(slot, reason)

    def timed_out(self, request: Request) -> None:
        in_time = self._loop.time() < self._until
        if not self.answered_once and request is not self._lead and in_time:
            request.tries = 0
            self._parked.append(request)
        elif request.tries <= self._peer.retries and in_time:
            request.wait_s *= BACKOFF
            self._transport.send(request)
        else:
            self._give_up(request)

    def _give_up(self, request: Request) -> None:
        self._transport.forget(request)
        self._sent.pop(id(request), None)
        if self._answers == request.mark:  # nothing came since: the device has gone silent
            self._lose(request.packet, "timeout")
            self._finish()
            return
        self._shrink = True  # others got through: perhaps this one is too big
        self._lose(request.packet, "timeout")
        self._go_on()

    def failed(self, request: Request, why: str) -> None:
        if self._sent.pop(id(request), None) is None:
            return  # its first try was answered meanwhile
        self._transport.forget(request)  # or it is
        self.trouble = why
        self._lose(request.packet, why)
        if self.answered_once:
            self._go_on()
        else:
            self._finish()

    def _finish(self) -> None:
        for what in self._waiting:
            self._lose(what, "timeout")
        self._waiting.clear()
        if not self._done.done():
            self._done.set_result(None)

    def _drop(self) -> None:
        for request in list(self._sent.values()):
            self._transport.forget(request)
            self._lose(request.packet, "timeout")
        self._sent.clear()


class Question:
    """One request, sent once, and its one answer, for walks."""

    def __init__(self, transport: Transport, peer: Peer) -> None:
        self._transport = transport
        self._peer = peer
        self._answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self.garbled = False
        self.trouble = ""

    async def ask(self, head: bytes, tail: bytes) -> bytes | None:
        """Return the answer, undecoded, or None where none came."""
        request = Request(self, self._peer, head, tail)
        self._transport.send(request)
        try:
            return await self._answer
        finally:
            self._transport.forget(request)

    def answered(self, request: Request, data: bytes, span: tuple[int, int]) -> None:
        if not self._answer.done():
            self._answer.set_result(data)

    def timed_out(self, request: Request) -> None:
        if not self._answer.done():
            self._answer.set_result(None)

    def failed(self, request: Request, why: str) -> None:
        self.trouble = why
        if not self._answer.done():
            self._answer.set_result(None)


class Probe:
    """Whether a device answers a question that is asked twice.

    Who is not known to be `dead` (None: was never asked) is asked as often as its retries say: the
    first try was in a sweep. For each try it waits at the door: most of those that are asked so do
    not answer.
    """

    def __init__(self, transport: Transport, peer: Peer, dead: bool | None) -> None:
        self._transport = transport
        self._peer = peer
        again = (NEW if dead is None else AGAIN,) * max(1, peer.retries - 1)
        self._kinds = (DEAD, DEAD) if dead else (FIRST, *again)
        self._next: asyncio.Future[None] | None = None  # what we wait for
        self._heard = False
        self.garbled = False
        self.trouble = ""

    async def ask(self, head: bytes, tail: bytes) -> bool:
        """Return whether an answer came; one to the first try counts as long as we ask."""
        request, loop = Request(self, self._peer, head, tail), asyncio.get_running_loop()
        door = self._transport.door
        try:
            for kind in self._kinds:
                self._next = place = loop.create_future()
                door.enter(kind, place)
                try:
                    await place
                    if not self._heard and not self.trouble:
                        self._next = loop.create_future()
                        self._transport.send(request)
                        await self._next
                finally:
                    door.leave(place)
                if self._heard or self.trouble:
                    break
                request.wait_s *= BACKOFF
            return self._heard
        finally:
            self._transport.forget(request)

    def _go_on(self) -> None:
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    def answered(self, request: Request, data: bytes, span: tuple[int, int]) -> None:
        self._heard = True
        self._go_on()

    def timed_out(self, request: Request) -> None:
        self._go_on()

    def failed(self, request: Request, why: str) -> None:
        self.trouble = why
        self._go_on()
