"""Hears telemetry and events of devices, gateways and probes through a broker (ports.Listener)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from collectors.mqtt.bounded import OCTETS, BadPayload
from collectors.mqtt.gathering import Gathering
from collectors.mqtt.publisher import BACKOFF_S
from collectors.mqtt.rules import Rulebook, event, numbers
from collectors.mqtt.settings import MqttSettings, TopicRule
from netopsd.broker import BrokerGone, Heard, Link, NotTaken
from netopsd.core.model import Event
from netopsd.errors import NotJudged
from netopsd.ports import Clock, Inbox
from netopsd.telling import tell

log = logging.getLogger(__name__)

WAITING = 10_000  # messages of QoS 0 that may wait for us
GROUP = 500


@dataclass(slots=True, kw_only=True)
class MqttStats:
    """Since start. Every message heard is a reading, an event, or one of the rest.

    One that fits several rules counts once for each.
    """

    heard: int = 0
    readings: int = 0
    events: int = 0
    retained: int = 0  # old numbers, ignored
    limited: int = 0  # more than one device or topic may send
    overflow: int = 0  # came faster than they were read
    bad: dict[str, int] = field(default_factory=dict)  # by BadPayload.word


class Bucket:
    """Tokens: `rate` a second, at most `burst` saved up."""

    __slots__ = ("_at_s", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at_s = burst, 0.0

    def take(self, now_s: float) -> bool:
        """Take one; False where there is none."""
        passed = max(0.0, now_s - self._at_s)
        self._tokens = min(self._burst, self._tokens + passed * self._rate)
        self._at_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class MqttListener:
    """Listens to the topics of `settings` for `devices`; `know` replaces both.

    A message is of when it came: payloads' own times are not believed. Messages of QoS 1 are
    acknowledged after what they said is committed. Nothing a payload holds raises.
    """

    def __init__(self, settings: MqttSettings, devices: frozenset[str], clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._counts = MqttStats()
        self._link: Link | None = None
        self.know(settings.topic, devices)

    def know(self, rules: Iterable[TopicRule], devices: frozenset[str]) -> None:
        """Take new rules and devices; filters never heard before are heard after reconnecting."""
        rules = tuple(rules)
        before = getattr(self, "_book", None)
        self._book = Rulebook(rules, devices)
        self._gathering = Gathering([r for r in rules if r.reading], self._settings.rows)
        self._devices: dict[str, Bucket] = {}
        self._topics: dict[str, Bucket] = {}
        if before is not None and before.filters != self._book.filters and self._link is not None:
            self._link.cut()

    def stats(self) -> dict[str, int]:
        """Return counts since start, flat."""
        counts = self._counts
        flat = {
            name: getattr(counts, name)
            for name in ("heard", "readings", "events", "retained", "limited", "overflow")
        }
        return flat | {f"bad_{word}": n for word, n in counts.bad.items()}

    async def listen(self, inbox: Inbox) -> None:
        """Listen until cancelled."""
        failures = 0
        while True:
            began = self._clock.mono_s()
            try:
                name = f"{self._settings.client_id}:telemetry"
                async with Link(self._settings, client_id=name, waiting=WAITING) as link:
                    self._link = link
                    await link.hear(self._book.filters)
                    log.info("hearing %d topic filters", len(self._book.filters))
                    await self._session(link, inbox)
            except (BrokerGone, NotTaken) as lost:
                if failures == 0:
                    log.warning("no telemetry: %s", lost)
            finally:
                self._link = None
            failures = 1 if self._clock.mono_s() - began > BACKOFF_S[-1] else failures + 1
            await self._clock.sleep(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])

    async def _session(self, link: Link, inbox: Inbox) -> None:
        dropped = 0
        while True:
            heard = await link.take(GROUP)
            self._counts.overflow += link.stats.dropped - dropped
            dropped = link.stats.dropped
            events: list[Event] = []
            for one in heard:
                self._counts.heard += 1
                try:
                    self._sort(one, events)
                except BadPayload as bad:
                    self._bad(bad)
            if events:
                await tell(inbox, events[0].at, events)
            batches = self._gathering.batches(self._clock.now(), self._clock.mono_s())
            for batch in batches[:-1]:
                await inbox.put(batch)
            if batches:
                with suppress(NotJudged):
                    await inbox.durable(batches[-1])
            # Also what was passed over: sent again it would be the same, and block the rest.
            link.ack(heard)
            # What comes meanwhile is one look: a chatty device costs one judgement a time.
            await self._clock.sleep(self._settings.gather_s)

    def _sort(self, heard: Heard, events: list[Event]) -> None:
        if heard.retained:
            self._counts.retained += 1  # of an unknown time: no number, and no news
            return
        if len(heard.payload) > OCTETS:
            raise BadPayload("too_large", f"{len(heard.payload)} octets")
        now = self._clock.mono_s()
        for rule, device, row in self._book.about(heard.topic):
            settings = self._settings
            if not (
                _bucket(self._topics, rule.filter, settings.topic_rate, settings.topic_rate)(now)
                and _bucket(self._devices, device, settings.device_rate, settings.device_burst)(now)
            ):
                self._counts.limited += 1
                continue  # another rule may have another filter
            try:
                self._apply(rule, (device, row), heard.payload, events)
            except BadPayload as bad:  # to this rule; to another one it may be news
                self._bad(bad)

    def _apply(
        self, rule: TopicRule, whose: tuple[str, str], payload: bytes, events: list[Event]
    ) -> None:
        if rule.event:
            events.append(event(rule, *whose, payload, self._clock.now()))
            self._counts.events += 1
        else:
            self._gathering.add(numbers(rule, *whose, payload))
            self._counts.readings += 1

    def _bad(self, bad: BadPayload) -> None:
        self._counts.bad[bad.word] = self._counts.bad.get(bad.word, 0) + 1


def _bucket(
    among: dict[str, Bucket], name: str, rate: float, burst: float
) -> Callable[[float], bool]:
    found = among.get(name)
    if found is None:
        found = among[name] = Bucket(rate, max(1.0, burst))
    return found.take
