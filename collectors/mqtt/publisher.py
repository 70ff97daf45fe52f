"""A collector's side of the broker: its spool goes out in order, again and again until confirmed.

The broker is not trusted to keep anything: what it took and lost is sent again because the core,
not the broker, confirms. While there is no broker, or no core, looks stay in the spool.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from collectors.mqtt import topics, wire
from collectors.mqtt.bounded import BadPayload
from collectors.mqtt.members import Members
from collectors.mqtt.spool import Cursor, Spool
from netopsd.broker import BrokerGone, Heard, Link, NotTaken, Will
from netopsd.broker_settings import BrokerSettings
from netopsd.ports import Clock

log = logging.getLogger(__name__)

WINDOW = 16  # parcels without the broker's acknowledgement
AHEAD = 64  # parcels without the core's
RESEND_S = 10.0  # the core's patience with us; doubles while nothing moves
RESEND_MOST_S = 60.0
BACKOFF_S = (0.5, 1.0, 2.0, 5.0)  # between attempts to connect; the last for ever
SETTLE_S = 1.0  # until the retained messages of the others have come


@dataclass(slots=True, kw_only=True)
class PublisherStats:
    """Since start."""

    connections: int = 0
    parcels: int = 0  # sent, repetitions included
    octets: int = 0
    rewinds: int = 0
    bad: int = 0  # messages from the core or the others that could not be read
    refused: int = 0  # parcels the broker refused


class Publisher:
    """Sends a spool and keeps up with who else is alive. `changed` hears of every change."""

    def __init__(
        self,
        settings: BrokerSettings,
        me: topics.Collector,
        spool: Spool,
        clock: Clock,
        heartbeat_s: float,
        changed: Callable[[frozenset[str]], None],
    ) -> None:
        self._settings = settings
        self._me = me
        self._spool = spool
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._changed = changed
        self._members = Members(heartbeat_s)
        self._seen: tuple[str, int] | None = None  # run and ask of the core
        self._wake = asyncio.Event()
        self._again = False  # rewind …
        self._define = True  # … and define all layouts anew
        self._moved_s = 0.0  # when the core last confirmed something, or we began
        self.figures: Callable[[], Mapping[str, float]] = dict
        self.connected = False
        self.stats = PublisherStats()

    def nudge(self) -> None:
        """Say that there is more in the spool."""
        self._wake.set()

    async def run(self) -> None:
        """Connect and publish until cancelled; then say that we leave."""
        failures = 0
        while True:
            began = self._clock.mono_s()
            try:
                async with self._connected() as link:
                    await self._session(link)
            except* (BrokerGone, NotTaken) as lost:
                if failures == 0:
                    why = "; ".join(sorted({str(error) for error in _leaves(lost)}))
                    log.warning("no broker, looks stay in the spool: %s", why)
            failures = 1 if self._clock.mono_s() - began > BACKOFF_S[-1] else failures + 1
            await self._clock.sleep(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Link]:
        me = self._me
        will = Will(topic=me.presence, payload=topics.presence(topics.LOST))
        name = f"{self._settings.client_id}:{me.site}:{me.name}"
        async with Link(self._settings, client_id=name, will=will) as link:
            self.connected = True
            self.stats.connections += 1
            log.info("connected to the broker")
            try:
                yield link
            except asyncio.CancelledError:
                with contextlib.suppress(BrokerGone, NotTaken):
                    await link.tell(me.presence, topics.presence(topics.LEFT), retain=True)
                raise
            finally:
                self.connected = False

    async def _session(self, link: Link) -> None:
        others = f"{self._me.root}/here/{self._me.site}/+"
        await link.hear([self._me.taken, others])
        self._members.deaf(self._clock.mono_s() + self._heartbeat_s)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._hear(link))
            parts.create_task(self._beat(link))
            parts.create_task(self._send(link))

    # ---- the others

    async def _beat(self, link: Link) -> None:
        await self._clock.sleep(min(SETTLE_S, self._heartbeat_s))
        self._changed(self._members.live)
        while True:
            said = topics.presence(topics.HERE, **self.figures())
            await link.tell(self._me.presence, said, retain=True)
            await self._clock.sleep(self._heartbeat_s)
            if self._members.lost(self._clock.mono_s()):
                self._changed(self._members.live)

    async def _hear(self, link: Link) -> None:
        while True:
            heard = await link.take()
            for one in heard:
                try:
                    self._listen_to(one)
                except BadPayload:
                    self.stats.bad += 1
            link.ack(heard)

    def _listen_to(self, heard: Heard) -> None:
        what, whose = topics.collector_of(self._me.root, heard.topic)
        if what == "taken" and whose == self._me:
            self._confirm(topics.Taken.of(heard.payload))
        elif what == "here" and whose != self._me and whose.site == self._me.site:
            # A retained "here" may be old: it counts as one heartbeat, and must be followed by one.
            alive = topics.state_of(heard.payload) == topics.HERE
            now = self._clock.mono_s()
            members = self._members
            if members.here(whose.name, now) if alive else members.gone(whose.name):
                log.info("collector %s is %s", whose.name, "here" if alive else "gone")
                self._changed(members.live)

    def _confirm(self, said: topics.Taken) -> None:
        if said.stream == self._spool.stream:
            if said.taken > max(self._spool.last, self._spool.began):
                raise BadPayload("malformed", "more than was sent")
            if said.taken > self._spool.confirmed:
                self._moved_s = self._clock.mono_s()
                self._spool.confirm(said.taken)
        if (said.run, said.ask) != self._seen:
            self._seen = (said.run, said.ask)
            self._again = self._define = True
        self._wake.set()

    # ---- the spool

    async def _send(self, link: Link) -> None:
        self._again = True
        self._moved_s = self._clock.mono_s()
        patience = RESEND_S
        window: deque[asyncio.Future[int]] = deque()
        waiting: deque[int] = deque()  # seqs sent and not confirmed
        cursor = Cursor(self._spool, self._spool.confirmed)
        try:
            while True:
                self._wake.clear()  # before looking for work: what comes later wakes us
                if self._again:
                    self._again = False
                    cursor.close()
                    cursor = Cursor(self._spool, self._spool.confirmed)
                    waiting.clear()
                    self.stats.rewinds += 1
                    await self._define_all(link)
                while waiting and waiting[0] <= self._spool.confirmed:
                    waiting.popleft()
                    patience = RESEND_S
                record = cursor.next() if len(waiting) < AHEAD else None
                if record is not None:
                    place = wire.Place(
                        stream=self._spool.stream,
                        seq=record.seq,
                        prev=record.prev,
                        floor=min(self._spool.floor, record.prev),
                    )
                    octets = wire.message(place, record.definitions, record.looks)
                    waiting.append(record.seq)
                    await self._hand_over(link, octets, window)
                elif waiting and self._clock.mono_s() - self._moved_s > patience:
                    patience = min(patience * 2, RESEND_MOST_S)
                    self._moved_s = self._clock.mono_s()
                    self._again = True
                else:
                    if not waiting:
                        self._moved_s = self._clock.mono_s()
                    await self._more(link, window)
        finally:
            cursor.close()

    async def _define_all(self, link: Link) -> None:
        if not self._define:
            return
        self._define = False
        for octets in self._spool.definitions_before(self._spool.confirmed):
            packed = wire.definitions_message(self._spool.stream, octets)
            await link.tell(self._me.looks, packed)

    async def _hand_over(
        self, link: Link, octets: bytes, window: deque[asyncio.Future[int]]
    ) -> None:
        try:
            window.append(link.send(self._me.looks, octets))
            self.stats.parcels += 1
            self.stats.octets += len(octets)
            while len(window) >= WINDOW:
                await link.taken(window.popleft())
        except NotTaken as refused:
            self.stats.refused += 1
            if self.stats.refused == 1:
                log.error("the broker refuses our looks; they stay in the spool: %s", refused)

    async def _more(self, link: Link, window: deque[asyncio.Future[int]]) -> None:
        """Wait for something to do: more looks, a confirmation, or the end of our patience."""
        while window:
            with contextlib.suppress(NotTaken):
                await link.taken(window.popleft())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._wake.wait()


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
