"""Informs, acknowledged once they are durable (RFC 3416 section 4.2.7, and our promise)."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from collectors.snmp_trap.fair import Datagram
from collectors.snmp_trap.ledger import Ledger
from collectors.snmp_trap.udp import reply_from
from netopsd.core.model import Event
from netopsd.errors import NetopsdError, NotAllowed
from netopsd.ports import Clock, Inbox
from netopsd.telling import tell

REMEMBER_S = 60.0  # how long the same datagram counts as sent again
MOST_REMEMBERED = 20_000
MOST_AT_ONCE = 1000  # informs in one durable batch


@dataclass(slots=True, eq=False)
class _Inform:
    datagram: Datagram
    event: Event
    reply: Callable[[], bytes]
    key: bytes
    at_s: float
    durable: bool = False


class Informs:
    """Informs on their way to the store, and those lately acknowledged.

    A sender that hears nothing sends the same datagram again: that is answered (again) and told
    once. Those that wait while a batch is committed share the next one.
    """

    def __init__(self, clock: Clock, ledger: Ledger, most: int) -> None:
        self._clock = clock
        self._ledger = ledger
        self._most = most
        self._waiting: list[_Inform] = []
        self._committing = 0
        self._known: OrderedDict[bytes, _Inform] = OrderedDict()
        self._arrived = asyncio.Event()
        self._sock: socket.socket | None = None

    def __len__(self) -> int:
        return len(self._waiting) + self._committing

    def seen(self, datagram: Datagram) -> bool:
        """Return whether this datagram came before; if so count it, and answer where durable."""
        inform = self._known.get(_key(datagram))
        if inform is None:
            return False
        self._ledger.repeated += 1
        if inform.durable:
            self._answer(inform)
        return True

    def add(self, datagram: Datagram, event: Event, reply: Callable[[], bytes]) -> None:
        """Take an inform; `reply` makes its acknowledgement. Counted where there is no room."""
        if self.seen(datagram):
            return
        if len(self._waiting) >= self._most:
            self._ledger.overflow += 1
            return
        inform = _Inform(datagram, event, reply, _key(datagram), self._clock.mono_s())
        self._known[inform.key] = inform
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
            self._known.pop(batch[place].key, None)
        missing = frozenset(lost)
        kept = [inform for place, inform in enumerate(batch) if place not in missing]
        self._ledger.emitted += len(kept)
        for inform in kept:
            inform.durable = True
            self._answer(inform)

    def _answer(self, inform: _Inform) -> None:
        """Send the acknowledgement. Where it cannot be sent the sender will ask again."""
        peer, ancillary = inform.datagram.back
        assert self._sock is not None
        with suppress(OSError):
            self._sock.sendmsg([inform.reply()], reply_from(ancillary), 0, peer)
            self._ledger.informs_acked += 1

    def _forget(self) -> None:
        now = self._clock.mono_s()
        while self._known:
            first = next(iter(self._known.values()))
            young = first.at_s + REMEMBER_S > now and len(self._known) <= MOST_REMEMBERED
            if young or not first.durable:
                return
            self._known.popitem(last=False)


def _key(datagram: Datagram) -> bytes:
    """The datagram and who sent it from where."""
    return hashlib.sha256(f"{datagram.back[0]}|".encode() + datagram.data).digest()
