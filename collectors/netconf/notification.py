"""Notifications to events. No network here: feed it what a device once said.

The device is known by its host key and we are known to it, so these events are authenticated:
unlike a v1 or v2c trap one may clear what it raised.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lxml import etree

from collectors.netconf.document import Element
from collectors.netconf.errors import BadMessage
from collectors.netconf.parse import moment
from collectors.netconf.views import EventSpec, ResourceSpec, strip_prefix
from netopsd.core.model import Event, Resource

ALARMS = "urn:ietf:params:xml:ns:yang:ietf-alarms"
REPLAY = "urn:ietf:params:xml:ns:netmod:notification"
SUBSCRIBED = "urn:ietf:params:xml:ns:yang:ietf-subscribed-notifications"
GAP = "netopsd:notification-gap"
LISTED = "ietf-alarms:alarm-list"
EVENT_TIME = "eventTime"  # the value that holds the device's own time of the event

MAX_VALUES = 256
MAX_VALUE = 1024  # characters
MAX_EVENT = 16 * 1024  # characters of all values
SEVERITIES = frozenset({"critical", "major", "minor", "warning", "indeterminate", "cleared"})
_IETF = re.compile(r"urn:ietf:params:xml:ns:(?:yang|netconf):([\w.-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What the operator says notifications mean. `modules` maps a namespace to its module."""

    events: tuple[EventSpec, ...] = ()
    resources: tuple[ResourceSpec, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A notification as it came. `time` is the device's, None where it cannot be read."""

    content: Element
    time_text: str
    time: datetime | None
    digest: bytes

    @property
    def replay_complete(self) -> bool:
        """Whether this ends a replay (RFC 5277 section 3.3.2, RFC 8639 section 2.7.5)."""
        ends = (f"{{{REPLAY}}}replayComplete", f"{{{SUBSCRIBED}}}replay-completed")
        return self.content.tag in ends

    @property
    def over(self) -> bool:
        """Whether the device ends the subscription with this."""
        ends = (f"{{{REPLAY}}}notificationComplete", f"{{{SUBSCRIBED}}}subscription-terminated")
        return self.content.tag in ends

    @property
    def about_subscription(self) -> bool:
        """Whether this is about the subscription and not about the device."""
        namespace = etree.QName(self.content).namespace
        return self.replay_complete or self.over or namespace == SUBSCRIBED


def hear(root: Element) -> Heard:
    """Take the envelope off a notification (RFC 5277 section 4). Raises BadMessage."""
    time_text, content = "", None
    for child in root:
        if not isinstance(child.tag, str):
            continue
        if etree.QName(child).localname == EVENT_TIME:
            time_text = (child.text or "").strip()[:64]
        elif content is None:
            content = child
    if content is None:
        raise BadMessage("a notification without content")
    return Heard(
        content=content,
        time_text=time_text,
        time=moment(time_text),
        digest=hashlib.blake2b(etree.tostring(root), digest_size=16).digest(),
    )


def event(heard: Heard, device: str, source: str, at: datetime, meaning: Meaning) -> Event:
    """Return what `heard` says, as an event that arrived at `at`."""
    name = name_of(heard.content, meaning.modules)
    values = dict(_leaves(heard.content))
    if heard.time_text:
        values[EVENT_TIME] = heard.time_text
    common = Event(
        at=at, device=device, source=source, name=name, values=values, authenticated=True
    )
    if heard.content.tag == f"{{{ALARMS}}}alarm-notification":
        return _alarm(common, meaning.resources)
    for spec in meaning.events:
        if spec.name == name and _fits(spec, values):
            return _told(common, spec)
    return common


AlarmKey = tuple[str, ...]


def alarm_key(said: Element) -> AlarmKey | None:
    """Return which alarm of its device a notification, or an entry of the list, is about."""
    if said.tag not in (f"{{{ALARMS}}}alarm-notification", f"{{{ALARMS}}}alarm"):
        return None
    leaves = ("resource", "alarm-type-id", "alarm-type-qualifier")
    return tuple((said.findtext(f"{{{ALARMS}}}{leaf}") or "").strip() for leaf in leaves)


def listed(
    entries: Iterable[Element], device: str, source: str, at: datetime, meaning: Meaning
) -> Iterator[Event]:
    """Yield each entry of an alarm list (RFC 8632 section 4.5) as if it were told now."""
    for entry in entries:
        values = dict(_leaves(entry))
        if values.get("is-cleared") == "true":
            values["perceived-severity"] = "cleared"
        common = Event(
            at=at, device=device, source=source, name=LISTED, values=values, authenticated=True
        )
        yield _alarm(common, meaning.resources)


def gap(device: str, source: str, at: datetime, since: str, why: str) -> Event:
    """Return the event that says notifications since `since` may have been lost."""
    return Event(
        at=at,
        device=device,
        source=source,
        name=GAP,
        values={"since": since, "why": why[:MAX_VALUE]},
        authenticated=True,
    )


def name_of(content: Element, modules: Mapping[str, str]) -> str:
    """Return MODULE:NOTIFICATION; the namespace stands for a module nobody named."""
    qualified = etree.QName(content)
    namespace = qualified.namespace or ""
    ietf = _IETF.fullmatch(namespace)
    module = modules.get(namespace) or (ietf[1] if ietf else namespace)
    return f"{module}:{qualified.localname}"[:256]


def resource(device: str, text: str, known: Sequence[ResourceSpec]) -> Resource:
    """Return what an alarm's resource leaf names: a row we know, else its own text as a row."""
    for spec in known:
        found = re.search(spec.pattern, text)
        if found is not None:
            return Resource(device, spec.table, found[1])
    return Resource(device, "resource", text) if text else Resource(device)


def _alarm(said: Event, known: Sequence[ResourceSpec]) -> Event:
    """Read alarm-notification (RFC 8632 section 4.1)."""
    values = said.values
    severity = values.get("perceived-severity", "")
    kind = strip_prefix(values.get("alarm-type-id", "")) or "alarm"
    qualifier = values.get("alarm-type-qualifier", "").strip()
    return Event(
        at=said.at,
        device=said.device,
        source=said.source,
        name=said.name,
        values=values,
        authenticated=True,
        alarm=f"{kind}:{qualifier}" if qualifier else kind,
        resource=resource(said.device, values.get("resource", "").strip(), known),
        severity=severity if severity in SEVERITIES else "indeterminate",
        text=values.get("alarm-text", ""),
    )


def _told(said: Event, spec: EventSpec) -> Event:
    row = said.values.get(spec.row, "") if spec.row else ""
    text = spec.text.replace("{device}", said.device).replace("{row}", row)
    return Event(
        at=said.at,
        device=said.device,
        source=said.source,
        name=said.name,
        values=said.values,
        authenticated=True,
        alarm=spec.alarm,
        resource=Resource(said.device, spec.table, row) if row else Resource(said.device),
        severity=spec.severity,
        text=text,
    )


def _fits(spec: EventSpec, values: Mapping[str, str]) -> bool:
    if spec.row and not values.get(spec.row):
        return False
    return all(
        name in values and re.search(pattern, values[name]) is not None
        for name, pattern in spec.when.items()
    )


def _leaves(content: Element) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of the leaves, bounded. A path met again carries its number: "edit[2]"."""
    seen: dict[str, int] = {}
    size = 0
    for element in content.iter(etree.Element):
        if len(element) or element is content:
            continue
        text = (element.text or "").strip()[:MAX_VALUE]
        path = _path(element, content)
        seen[path] = seen.get(path, 0) + 1
        size += len(path) + len(text)
        if len(seen) > MAX_VALUES or size > MAX_EVENT:
            yield "netopsd:cut", "true"
            return
        yield path if seen[path] == 1 else f"{path}[{seen[path]}]", text


def _path(element: Element, top: Element) -> str:
    steps: list[str] = []
    while element is not None and element is not top and len(steps) < 16:
        steps.append(etree.QName(element).localname)
        element = element.getparent()
    return "/".join(reversed(steps))
