"""Topics to devices and readings: what the operator wrote, applied. Pure; never raises but says.

The device comes from the topic and from the configuration, which the broker's access list guards,
never from the payload.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from collectors.mqtt import senml
from collectors.mqtt.bounded import BadPayload, load
from collectors.mqtt.settings import LEVEL, TopicRule
from netopsd.core.model import Event, Resource

MAX_VALUES = 256
MAX_TEXT = 1024
SEVERITIES = frozenset({"critical", "major", "minor", "warning", "indeterminate", "cleared"})
TWO_64 = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Readings of one row of one device: column → number, as the rule's kinds have it."""

    rule: TopicRule
    device: str
    row: str
    values: Mapping[str, float | int]


def matches(levels: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a topic fits a filter (MQTT 5 section 4.7), both cut at their slashes."""
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(levels) or level not in ("+", levels[i]):
            return False
    return len(levels) == len(wanted)


class Rulebook:
    """The rules, and the devices they may speak of."""

    def __init__(self, rules: Iterable[TopicRule], devices: frozenset[str]) -> None:
        self._rules = [(rule, rule.filter.split("/")) for rule in rules]
        self._devices = devices

    @property
    def filters(self) -> list[str]:
        return list(dict.fromkeys(rule.filter for rule, _ in self._rules))

    def about(self, topic: str) -> Iterator[tuple[TopicRule, str, str]]:
        """Give (rule, device, row) of each rule that a topic fits. Raises BadPayload for none."""
        levels = topic.split("/")
        found = False
        for rule, wanted in self._rules:
            if matches(levels, wanted):
                named = _filled(rule.device, levels)
                device = rule.devices.get(named, "") if rule.devices else named
                if device in self._devices:
                    found = True
                    yield rule, device, _filled(rule.row, levels)[:255]
        if not found:
            raise BadPayload("no_device", topic[:200])


def _filled(text: str, levels: Sequence[str]) -> str:
    return LEVEL.sub(
        lambda found: levels[int(found[1]) - 1] if int(found[1]) <= len(levels) else "", text
    )


def numbers(rule: TopicRule, device: str, row: str, payload: bytes) -> Numbers:
    """Return the readings of a payload. Raises BadPayload where it holds none of them."""
    said = load(payload)
    values: dict[str, float | int] = {}
    records = senml.resolve(said) if rule.payload == "senml" else {}
    for reading in rule.reading:
        value = records.get(reading.source) if records else None
        if rule.payload == "json":
            value = pointed(said, reading.source)
        if isinstance(value, bool) and reading.kind == "state":
            value = int(value)
        number = _counter(value) if reading.counter else _gauge(value, reading.scale)
        if number is not None:
            values[reading.column] = number
    if not values:
        raise BadPayload("no_readings", f"none of {rule.filter}'s readings is in it")
    return Numbers(rule=rule, device=device, row=row, values=values)


def pointed(said: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) points at; None where there is nothing."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(said, dict):
            said = said.get(name)
        elif isinstance(said, list) and name.isascii() and name.isdigit() and len(name) < 6:
            said = said[int(name)] if int(name) < len(said) else None
        else:
            return None
    return said


def _gauge(value: Any, scale: float) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value) * scale
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None


def _counter(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer() and abs(value) <= 1 << 53:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < TWO_64:
        return None
    return value


def event(rule: TopicRule, device: str, row: str, payload: bytes, at: datetime) -> Event:
    """Return what a payload says, as an event. Raises BadPayload."""
    said = load(payload)
    values = dict(islice(_leaves(said), MAX_VALUES))
    common = Event(
        at=at,
        device=device,
        source="mqtt",
        name=rule.event,
        values=values,
        authenticated=rule.authenticated,
    )
    severity = ""
    if rule.authenticated and rule.severity:
        severity = str(pointed(said, rule.severity) or "").lower()[:20]
    if rule.alarm and severity in SEVERITIES:
        text = str(pointed(said, rule.text) or "")[:MAX_TEXT] if rule.text else ""
        about = Resource(device, rule.table, row) if row != "1" else Resource(device)
        return replace(common, alarm=rule.alarm, resource=about, severity=severity, text=text)
    if rule.alarm:
        raise BadPayload("no_severity", f"{rule.severity} is no perceived severity")
    return common


def _leaves(said: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Give (path, text) of what a payload holds: "a.b.0" for {"a": {"b": [1]}}.

    A path is cut as it grows: a long name would be there once for each value below it.
    """
    if isinstance(said, dict):
        for name, value in said.items():
            yield from _leaves(value, (f"{path}.{name}" if path else name)[:MAX_TEXT])
    elif isinstance(said, list):
        for place, value in enumerate(said):
            yield from _leaves(value, f"{path}.{place}"[:MAX_TEXT])
    else:
        text = said if isinstance(said, str) else _word(said)
        yield path, text[:MAX_TEXT]


def _word(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
