"""Messages to an MQTT 5 broker: each as an event, and what now is so as retained state.

Both are CloudEvents 1.0 (JSON, structured mode), the outbox key their `id`: a repeat is the same
octets and is known by it. At least once; `deliver` returns after the broker's PUBACK.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bss_bridge.canonical import canonical, digest, utc
from bss_bridge.settings import MqttSinkSettings
from netopsd.broker import BrokerGone, Link, NotTaken
from netopsd.errors import Refused, TryLater
from netopsd.ports import Message

# About the message itself; any other reason code is about the broker or our rights there.
_ITS_FAULT = frozenset({0x90, 0x95, 0x99})  # topic name invalid, packet too large, format invalid
_PLAIN = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
# What nothing is said of afterwards has no state: its retained topic would stay for ever.
OVER = frozenset(
    {"alarm.cleared", "outage.ended", "ticket.closed", "ticket.cancelled", "ticket.rejected"}
)


class MqttSink:
    """Publishes below one topic root, over one connection that is opened when needed."""

    def __init__(self, settings: MqttSinkSettings) -> None:
        self._settings = settings
        self._link: Link | None = None
        self._connecting = asyncio.Lock()

    async def deliver(self, message: Message) -> None:
        """Return once the broker took event and state. Raises TryLater, Refused.

        TryLater where there is no broker or it will not have us; Refused where it will never have
        this message, or the body is no JSON object.
        """
        event, subject = cloud_event(message, self._settings.source)
        octets = event.encode()
        root = self._settings.root
        try:
            link = await self._connected()
            about = _properties()
            topic = f"{root}/event/{message.topic.replace('.', '/')}"
            await link.tell(topic, octets, properties=about)
            if subject:
                over = message.topic in OVER
                family = message.topic.partition(".")[0]
                state = f"{root}/state/{family}/{subject}"
                await link.tell(state, b"" if over else octets, retain=True, properties=about)
        except NotTaken as refused:
            if refused.code in _ITS_FAULT:
                raise Refused(str(refused)) from refused
            raise TryLater(str(refused)) from refused
        except BrokerGone as gone:
            raise TryLater(str(gone)) from gone

    async def close(self) -> None:
        """Say good-bye to the broker."""
        link, self._link = self._link, None
        if link is not None:
            await link.__aexit__(None, None, None)

    async def _connected(self) -> Link:
        """Return the connection, made anew where it broke. Raises BrokerGone, NotTaken."""
        async with self._connecting:
            if self._link is not None and not self._link.open:
                await self.close()
            if self._link is None:
                link = Link(self._settings)
                self._link = await link.__aenter__()
            return self._link


def cloud_event(message: Message, source: str) -> tuple[str, str]:
    """Return (CloudEvents 1.0 JSON, what it is about as one topic level, "" for no state).

    Raises Refused for a body that is none of ours.
    """
    try:
        body = json.loads(message.body)
        said = body["event"]
        inner = next(iter(said.values()))
        if not isinstance(inner, dict):
            raise TypeError("an event of something else than an object")
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError) as bad:
        raise Refused(f"{message.key}: no event can be made of its body: {bad!r}") from bad
    subject = _subject(message.topic, inner)
    event = {
        "specversion": "1.0",
        "id": message.key,
        "source": source,
        "type": f"netopsd.{message.topic}",
        "time": utc(message.at),
        "datacontenttype": "application/json",
        "data": said,
    }
    if subject:
        event["subject"] = subject
    return canonical(event), _level(subject)


def _subject(topic: str, said: Mapping[str, Any]) -> str:
    """Return the name of what lasts: the alarm, the ticket, the promise, the metered port."""
    match topic.partition(".")[0], topic:
        case "alarm", _:
            return str(said.get("externalAlarmId", ""))
        case "ticket" | "outage", _:
            return str(said.get("id", ""))
        case "sla", "sla.violation":
            return str(said.get("id", ""))
        case "sla", "sla.budget":
            return f"{said.get('service', {}).get('id', '')}|{said.get('period', '')}"
        case "usage", _:
            service = said.get("service", {}).get("id", "")
            return f"{service}|{said.get('resource', {}).get('id', '')}"
    return ""


def _level(subject: str) -> str:
    """Return `subject` as one level of a topic: no slash, no wildcard, not too long."""
    if not subject or _PLAIN.fullmatch(subject):
        return subject
    quoted = quote(subject.encode("utf-8", "replace"), safe="")
    return quoted if len(quoted) <= 200 else digest(subject)


def _properties() -> Properties:
    about = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    about.ContentType = "application/cloudevents+json"
    about.PayloadFormatIndicator = 1
    return about
