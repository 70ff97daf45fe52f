"""Informs, acknowledged once they are durable (RFC 3416 section 4.2.7, and our promise)."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from collectors.snmp_trap.fair import Datagram
from collectors.snmp_trap.ledger import Ledger
from collectors.snmp_trap.udp import reply_from
from netopsd.core.model import Event
from netopsd.errors import NetopsdError, NotAllowed
from netopsd.ports import Clock, Inbox
from netopsd.telling import tell

REMEMBER_S = 60.0  # how long, once durable, the same inform counts as sent again
MOST_REMEMBERED = 20_000
MOST_AT_ONCE = 1000  # informs in one durable batch


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """An inform as it came. A repetition has the same `identity`, and perhaps another `reply`.

    `identity` is what its sender repeats: of v1 and v2c the datagram; of v3, where each repetition
    is a message of its own, what is in it. `lost` is called where it came to nothing, so that the
    next try is a new one.
    """

    datagram: Datagram
    reply: Callable[[], bytes]
    identity: bytes = b""
    lost: Callable[[], None] = nothing

    @property
    def key(self) -> bytes:
        """What was said, and who said it from where."""
        peer = f"{self.datagram.back[0]}|".encode()
        return hashlib.sha256(peer + (self.identity or self.datagram.data)).digest()


@dataclass(slots=True, eq=False)
class _Inform:
    event: Event
    key: bytes
    latest: Received  # the one its sender waits for an answer to
    durable_s: float = 0.0
    lost: list[Callable[[], None]] = field(default_factory=list)


class Informs:
    """Informs on their way to the store, and those lately acknowledged.

    A sender that hears nothing says the same again: that is answered (again) and told once. Those
    that wait while a batch is committed share the next one.
    """

    def __init__(self, clock: Clock, ledger: Ledger, most: int) -> None:
        self._clock = clock
        self._ledger = ledger
        self._most = most
        self._waiting: list[_Inform] = []
        self._committing = 0
        self._open: dict[bytes, _Inform] = {}  # not durable yet
        self._kept: OrderedDict[bytes, _Inform] = OrderedDict()  # as they became durable
        self._arrived = asyncio.Event()
        self._sock: socket.socket | None = None

    def __len__(self) -> int:
        return len(self._waiting) + self._committing

    def seen(self, received: Received) -> bool:
        """Return whether this inform came before; if so count it, and answer where durable."""
        key = received.key
        inform = self._open.get(key) or self._kept.get(key)
        if inform is None:
            return False
        self._ledger.repeated += 1
        inform.latest = received
        if key in self._open:
            inform.lost.append(received.lost)
        else:
            self._answer(inform)
        return True

    def add(self, received: Received, event: Event) -> None:
        """Take an inform. Counted where it came before, or there is no room."""
        if self.seen(received):
            return
        if len(self._waiting) >= self._most:
            self._ledger.overflow += 1
            received.lost()
            return
        inform = _Inform(event, received.key, received, lost=[received.lost])
        self._open[inform.key] = inform
        self._waiting.append(inform)
        self._arrived.set()

    async def acknowledge(self, sock: socket.socket, inbox: Inbox) -> None:
        """Make informs durable, then answer them, until cancelled."""
        self._sock = sock
        while True:
            await self._arrived.wait()
            batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            if not self._waiting:
                self._arrived.clear()
            if batch:
                await self._commit(batch, inbox)
            self._forget()

    async def _commit(self, batch: list[_Inform], inbox: Inbox) -> None:
        self._committing = len(batch)
        try:
            lost = await tell(inbox, self._clock.now(), [inform.event for inform in batch])
        except (NetopsdError, NotAllowed):
            lost = list(range(len(batch)))
        finally:
            self._committing = 0
        self._ledger.unacknowledged += len(lost)
        for place in lost:  # the sender's next try is a new one; after a few he gives up
            del self._open[batch[place].key]
            for forget in batch[place].lost:
                forget()
        missing = frozenset(lost)
        kept = [inform for place, inform in enumerate(batch) if place not in missing]
        self._ledger.emitted += len(kept)
        now = self._clock.mono_s()
        for inform in kept:
            inform.durable_s = now
            inform.lost.clear()
            self._kept[inform.key] = self._open.pop(inform.key)
            self._answer(inform)

    def _answer(self, inform: _Inform) -> None:
        """Send the acknowledgement. Where it cannot be sent the sender will ask again."""
        peer, ancillary = inform.latest.datagram.back
        assert self._sock is not None
        with suppress(OSError):
            self._sock.sendmsg([inform.latest.reply()], reply_from(ancillary), 0, peer)
            self._ledger.informs_acked += 1

    def _forget(self) -> None:
        now = self._clock.mono_s()
        while self._kept:
            first = next(iter(self._kept.values()))
            if first.durable_s + REMEMBER_S > now and len(self._kept) <= MOST_REMEMBERED:
                return
            self._kept.popitem(last=False)
