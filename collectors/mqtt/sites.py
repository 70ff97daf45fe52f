"""The core's side of distributed collection: collectors' looks into the inbox, in order.

Taken by a shared subscription (MQTT 5 section 4.8.2), acknowledged to the broker only once they are
judged and committed, confirmed to the collector after that. A collector that is lost, and a site
without any, are alarms about ourselves.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from collectors.mqtt import topics, wire
from collectors.mqtt.bounded import BadPayload
from collectors.mqtt.publisher import BACKOFF_S
from collectors.mqtt.streams import Streams, Verdict
from collectors.mqtt.topics import Collector
from collectors.mqtt.watchmen import Watchmen
from netopsd.broker import BrokerGone, Heard, Link, NotTaken
from netopsd.broker_settings import BrokerSettings
from netopsd.core.model import Batch, Event
from netopsd.errors import NotJudged
from netopsd.ports import Clock, Inbox
from netopsd.telling import tell

log = logging.getLogger(__name__)

GROUP = 64  # parcels judged before the next are looked at
CONFIRM_S = 0.25
KEEP_AGAIN_S = 1.0
COLLECTORS = 64  # of one site
SHARE = "netopsd"
STATE = "sites.json"


class SiteIntake:
    """Listens for collectors' looks (ports.Listener).

    `devices` maps each device that is polled at its site to that site. `state_dir` keeps how far
    each collector's looks are taken.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        root: str,
        devices: Mapping[str, str],
        clock: Clock,
        state_dir: Path,
        heartbeat_s: float = 5.0,
    ) -> None:
        self._settings = settings
        self._root = root
        self._clock = clock
        self._path = state_dir / STATE
        run = f"{clock.now().isoformat()} {clock.mono_s()}"
        self._streams = Streams(
            devices, clock, hashlib.blake2b(run.encode(), digest_size=8).hexdigest()
        )
        self._watchmen = Watchmen(frozenset(devices.values()), heartbeat_s, clock)
        self._dirty: set[Collector] = set()
        self._dirt = asyncio.Event()
        self._unkept = False
        self.connected = False
        self.connections = 0

    def know(self, devices: Mapping[str, str]) -> None:
        """Take a new configuration."""
        self._streams.devices = devices
        self._watchmen.know(frozenset(devices.values()))

    def stats(self) -> dict[str, int]:
        """Return counts since start, flat."""
        counts = asdict(self._streams.stats)
        bad = counts.pop("bad")
        return {**counts, **{f"bad_{word}": n for word, n in bad.items()}}

    async def listen(self, inbox: Inbox) -> None:
        """Take looks until cancelled."""
        await asyncio.to_thread(self._restore)
        failures = 0
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._guard(inbox))
            while True:
                began = self._clock.mono_s()
                try:
                    async with Link(self._settings, receive_maximum=2 * GROUP) as link:
                        await self._session(link, inbox)
                except* (BrokerGone, NotTaken) as lost:
                    if failures == 0:
                        log.warning("no broker for the sites: %s", _first(lost))
                self.connected = False
                self._watchmen.broker(up=False)
                failures = 1 if self._clock.mono_s() - began > BACKOFF_S[-1] else failures + 1
                await self._clock.sleep(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])

    async def _session(self, link: Link, inbox: Inbox) -> None:
        root = self._root
        self._streams.back()
        self._dirty |= set(self._streams.all)  # the broker may have forgotten what we said
        await link.hear([f"{root}/here/+/+", f"$share/{SHARE}/{root}/looks/+/+"])
        self.connected = True
        self.connections += 1
        self._watchmen.broker(up=True)
        log.info("taking looks of the sites from the broker")
        self._dirt.set()
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._confirm(link))
            parts.create_task(self._take(link, inbox))

    async def _guard(self, inbox: Inbox) -> None:
        """Once a second, tell whose silence has become too long."""
        while True:
            await self._clock.sleep(1.0)
            await self._raise(self._watchmen.look(), inbox)

    async def _raise(self, events: Sequence[Event], inbox: Inbox) -> None:
        if events:
            await tell(inbox, events[0].at, events)

    # ---- taking

    async def _take(self, link: Link, inbox: Inbox) -> None:
        while True:
            heard = await link.take(GROUP)
            batches: list[Batch] = []
            events: list[Event] = []
            news: set[Collector] = set()
            for one in heard:
                try:
                    self._sort(one, batches, events, news)
                except BadPayload as error:
                    self._streams.bad(error)
                await self._clock.sleep(0)  # reading one may take a good part of a second
            for batch in batches[:-1]:
                await inbox.put(batch)
            if batches:
                with suppress(NotJudged):  # sent again it would be the same: go on after it
                    await inbox.durable(batches[-1])  # committed, and with it all before it
            await self._raise(events, inbox)
            self._streams.commit()
            link.ack(heard)
            self._dirty |= news
            if self._dirty:
                self._dirt.set()

    def _sort(
        self, heard: Heard, batches: list[Batch], events: list[Event], news: set[Collector]
    ) -> None:
        """Sort a message; `news` is whom to tell how far we are, once this is committed."""
        what, whose = topics.collector_of(self._root, heard.topic)
        if whose.site not in self._watchmen.sites:
            raise BadPayload("unknown_site", whose.site)
        if what == "here":
            events += self._watchmen.heard(whose, topics.state_of(heard.payload))
            if self._streams.known(whose):
                news.add(whose)
            return
        if not self._streams.known(whose) and self._streams.count(whose.site) >= COLLECTORS:
            raise BadPayload("too_many_collectors", whose.site)
        parcel = wire.parse(heard.payload)
        verdict = self._streams.judge(whose, parcel)
        if verdict is Verdict.TAKE:
            try:
                batches += self._streams.open(whose, parcel)
            except wire.Unknown:
                verdict = self._streams.lacking(whose)
            except BadPayload as error:
                self._streams.bad(error)  # sent again it would be the same: go on after it
        if verdict is Verdict.TAKE:
            self._streams.took(whose, parcel.seq)
        if verdict is not Verdict.ASK or self._streams.ask(whose):
            news.add(whose)

    # ---- confirming

    async def _confirm(self, link: Link) -> None:
        """Tell collectors how far we are, after it is kept, a few times a second at most."""
        while True:
            await self._dirt.wait()
            self._dirt.clear()
            whose, self._dirty = self._dirty, set()
            said = [(one, self._streams.taken(one)) for one in whose]
            if not await self._kept():
                self._dirty |= whose
                await self._clock.sleep(KEEP_AGAIN_S)
                self._dirt.set()
                continue
            try:
                for one, taken in said:
                    if taken is not None:
                        await link.tell(one.taken, taken.octets(), retain=True)
            except NotTaken as refused:
                log.error("the broker does not let us confirm looks: %s", refused)
            await self._clock.sleep(CONFIRM_S)

    async def _kept(self) -> bool:
        """Keep how far we are. Where that fails nothing is confirmed: collectors keep it all."""
        try:
            await asyncio.to_thread(self._keep, json.dumps(self._streams.kept()))
        except OSError as error:
            if not self._unkept:
                log.error("looks of the sites are not confirmed until this can be kept: %s", error)
            self._unkept = True
            return False
        if self._unkept:
            log.info("looks of the sites are confirmed again")
        self._unkept = False
        return True

    def _keep(self, text: str) -> None:
        """Write the state beside the old one and rename it. Raises OSError."""
        new = self._path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        new.rename(self._path)

    def _restore(self) -> None:
        try:
            self._streams.restore(self._root, json.loads(self._path.read_text("utf-8")))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("%s cannot be used, sites begin anew: %s", self._path, error)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
