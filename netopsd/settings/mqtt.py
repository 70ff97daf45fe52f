"""[mqtt] and [collect] of netopsd.toml: the broker, what is heard there, who polls where."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collectors.mqtt.settings import LEVEL, CollectSettings, MqttSettings, TopicRule
from netopsd.core.inventory import Device
from netopsd.settings.checks import validate
from netopsd.settings.files import Source
from netopsd.settings.problems import Problems, quote
from netopsd.settings.rules import Columns

Table = dict[str, Any]
NUMBERED = Columns(counters=frozenset(), gauges=frozenset(), labels=frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Mqtt:
    """Both sections, understood. `columns` is what topics offer to thresholds, by table."""

    broker: MqttSettings | None = None
    collect: CollectSettings = field(default_factory=CollectSettings)
    columns: Mapping[str, Columns] = field(default_factory=dict)


def read_mqtt(
    sections: tuple[Table | None, Table], source: Source, folder: Path, problems: Problems
) -> Mqtt:
    """Return [mqtt] and [collect]; paths are made absolute."""
    broker = None
    if sections[0] is not None:
        broker = validate(MqttSettings, sections[0], source, ("mqtt",), problems)
    collect = validate(CollectSettings, sections[1], source, ("collect",), problems)
    if broker is not None:
        files = {
            name: (folder / path).absolute()
            for name in ("ca_file", "cert_file", "key_file")
            if (path := getattr(broker, name)) is not None
        }
        broker = broker.model_copy(update=files)
    elif collect is not None and collect.remote and sections[0] is None:
        what = "sites are collected through a broker, and there is none"
        problems.add(source, ("collect", "remote"), what, "Add an [mqtt] section")
    return Mqtt(
        broker=broker,
        collect=collect or CollectSettings(),
        columns=_columns(broker.topic if broker else ()),
    )


def _columns(rules: Collection[TopicRule]) -> dict[str, Columns]:
    found: dict[str, Columns] = {}
    for rule in (rule for rule in rules if rule.reading):
        before = found.get(rule.table, NUMBERED)
        counters = frozenset(one.column for one in rule.reading if one.counter)
        gauges = frozenset(one.column for one in rule.reading if not one.counter)
        found[rule.table] = Columns(
            counters=before.counters | counters,
            gauges=before.gauges | gauges,
            labels=frozenset({"row"}),
        )
    return found


def check_mqtt(
    mqtt: Mqtt, devices: Mapping[str, Device], source: Source, problems: Problems
) -> None:
    """Note devices and sites that topics and collectors name and nobody knows."""
    for i, rule in enumerate(mqtt.broker.topic if mqtt.broker else ()):
        named = {**rule.devices}
        if not LEVEL.search(rule.device):
            named = {"": rule.device}
        for key, name in named.items():
            if name not in devices:
                at = ("mqtt", "topic", i, *(("devices", key) if key else ("device",)))
                problems.unknown(source, at, f"unknown device {quote(name)}", name, list(devices))
    sites = sorted({device.site for device in devices.values() if device.site})
    for i, site in enumerate(mqtt.collect.remote):
        if site not in sites:
            at = ("collect", "remote", i)
            problems.unknown(source, at, f"no device is at site {quote(site)}", site, sites)
