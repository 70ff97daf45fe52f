"""devices.toml: what to look at, with which credentials, and what stands in between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from netopsd.core.inventory import Device
from netopsd.core.model import Resource
from netopsd.settings.files import KeyPath, Source
from netopsd.settings.netconf import Netconf
from netopsd.settings.problems import Problems, quote
from netopsd.settings.words import Address, Bool, Name, Period, Port, Text

PATIENCE = 1.5  # the poller waits so many times longer for each retry
PORTS = "if"  # the table whose rows are meant by "device/port"
Table = dict[str, Any]


class Common(BaseModel):
    """What a device may say for itself, take from its template, or from [defaults]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: Port | None = None
    credentials: Name | None = None
    interval: Annotated[Period, Field(ge=0.2, le=86400)] | None = None
    timeout: Annotated[Period, Field(ge=0.01, le=60)] | None = None
    retries: Annotated[StrictInt, Field(ge=0, le=10)] | None = None
    engine: Literal["auto", "planned", "gufo", "pysnmp"] | None = None
    any_source: Bool | None = None
    tables: tuple[Name, ...] | None = None
    site: Text | None = None
    upstream: tuple[Text, ...] | None = None
    labels: dict[Name, Text] = Field(default_factory=dict)  # pydantic would copy a {} dearly
    snmp: Bool | None = None
    netconf: Netconf | None = None
    mqtt: Bool | None = None


class Row(Common):
    """One [[device]]."""

    name: Name = Field(description='"a-unique-name"')
    address: Address = Field(description='"192.0.2.1" or a host name')
    template: Name | None = None


class DevicesFile(BaseModel):
    """devices.toml. Each table in it is checked by itself, so that one mistake hides no other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    defaults: Table = {}
    template: dict[Name, Table] = {}
    device: tuple[Table, ...] = ()
    credentials: dict[Name, Table] = {}
    login: dict[Name, Table] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One device with everything it inherits filled in. Times in seconds."""

    at: KeyPath
    row: Row
    port: int
    credentials: str
    interval_s: float
    timeout_s: float
    retries: int
    engine: Literal["auto", "planned", "gufo", "pysnmp"]
    any_source: bool
    tables: tuple[str, ...]
    site: str
    upstream: tuple[str, ...]
    labels: Mapping[str, str]
    netconf: Netconf | None = None
    mqtt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Builtin:
    """What applies where neither device, template nor [defaults] says anything."""

    port: int = 161
    interval_s: float = 30.0
    timeout_s: float
    retries: int
    tables: tuple[str, ...]


def entries(
    rows: Sequence[tuple[int, Row]],
    templates: Mapping[str, Common | None],
    layers: tuple[Common, Builtin],
    source: Source,
    problems: Problems,
) -> list[Entry]:
    """Return every device with its template's, the defaults' and the built-in values filled in.

    Doubled names and addresses are noted. A template that is None has mistakes of its own.
    """
    defaults, builtin = layers
    above: dict[str | None, dict[str, Any]] = {}  # what rows of a template inherit
    found = []
    for i, row in rows:
        at: KeyPath = ("device", i)
        template = templates.get(row.template) if row.template else None
        if row.template and row.template not in templates:
            what = f"unknown template {quote(row.template)}"
            problems.unknown(source, (*at, "template"), what, row.template, list(templates))
        if row.template not in above:
            chain = (template, defaults) if template else (defaults,)
            above[row.template] = _inherited(chain, builtin)
        found.append(_entry(at, row, above[row.template]))
    _note_doubles(found, source, problems)
    return found


def _inherited(layers: Sequence[Common], builtin: Builtin) -> dict[str, Any]:
    """Return the value of every key that a device may leave to its template or [defaults]."""
    found: dict[str, Any] = {
        "port": builtin.port,
        "credentials": "",
        "interval": builtin.interval_s,
        "timeout": builtin.timeout_s,
        "retries": builtin.retries,
        "engine": "auto",
        "any_source": False,
        "tables": builtin.tables,
        "site": "",
        "upstream": (),
        "snmp": True,
        "netconf": None,
        "mqtt": False,
    }
    labels: dict[str, str] = {}
    for layer in reversed(layers):
        found |= _said(layer)
        labels |= layer.labels
    return found | {"labels": labels}


def _said(layer: Common) -> dict[str, Any]:
    """Return what a layer says itself, labels apart."""
    said = ((key, getattr(layer, key)) for key in layer.model_fields_set)
    return {key: value for key, value in said if value is not None and key != "labels"}


def _entry(at: KeyPath, row: Row, above: Mapping[str, Any]) -> Entry:
    found = {**above, **_said(row)}
    return Entry(
        at=at,
        row=row,
        port=found["port"],
        # snmp = false: not even where [defaults] has credentials
        credentials=found["credentials"] if found["snmp"] else "",
        interval_s=found["interval"],
        timeout_s=found["timeout"],
        retries=found["retries"],
        engine=found["engine"],
        any_source=found["any_source"],
        tables=found["tables"],
        site=found["site"],
        upstream=found["upstream"],
        labels={**above["labels"], **row.labels} if row.labels else above["labels"],
        netconf=found["netconf"],
        mqtt=found["mqtt"],
    )


def _note_doubles(found: Iterable[Entry], source: Source, problems: Problems) -> None:
    names: dict[str, KeyPath] = {}
    ends: dict[tuple[str, int], str] = {}
    for entry in found:
        name = entry.row.name
        end = (entry.row.address, _asked_at(entry))
        if names.setdefault(name, entry.at) is not entry.at:
            first = source.line(names[name])
            what = f"device {quote(name)} is there already, on line {first}"
            problems.add(source, (*entry.at, "name"), what, "Give each device its own name")
        other = ends.setdefault(end, name)
        if other != name:
            what = f"{end[0]} port {end[1]} is device {quote(other)} already"
            problems.add(source, (*entry.at, "address"), what, "Remove one of the two")


def _asked_at(entry: Entry) -> int:
    """Return the port that tells a device from others at its address."""
    if entry.credentials or entry.netconf is None:
        return entry.port
    return entry.netconf.port


def check_entries(
    found: Iterable[Entry],
    credentials: Sequence[str],
    tables: Sequence[str] | None,
    source: Source,
    problems: Problems,
) -> None:
    """Note unknown credentials and tables, and looks that cannot end before the next is due.

    `tables` is None while tables.toml itself has mistakes.
    """
    for entry in found:
        if not entry.credentials and entry.netconf is None and not entry.mqtt:
            remedy = (
                f"Write credentials = {quote(credentials[0])}"
                if credentials
                else ('Add a [credentials.NAME] table and write credentials = "NAME"')
            )
            problems.add(source, (*entry.at, "credentials"), "missing", remedy)
        elif entry.credentials and entry.credentials not in credentials:
            what = f"unknown credentials {quote(entry.credentials)}"
            at = _said_at(entry, "credentials")
            problems.unknown(source, at, what, entry.credentials, credentials)
        for table in entry.tables:
            if tables is not None and table not in tables:
                what = f"unknown table {quote(table)}"
                problems.unknown(source, _said_at(entry, "tables"), what, table, tables)
        if not entry.credentials:
            continue
        longest = sum(entry.timeout_s * PATIENCE**i for i in range(entry.retries + 1))
        if longest >= entry.interval_s:
            what = (
                f"{entry.retries + 1} tries of {entry.timeout_s:g} s take {longest:g} s, which does"
                f" not fit into the interval of {entry.interval_s:g} s"
            )
            remedy = "Make interval longer, or timeout or retries smaller"
            problems.add(source, _said_at(entry, "interval"), what, remedy)


def _said_at(entry: Entry, key: str) -> KeyPath:
    """Return where a value was written: in the device, its template or the defaults."""
    if getattr(entry.row, key) is not None:
        return (*entry.at, key)
    if entry.row.template:
        return ("template", entry.row.template, key)
    return ("defaults", key)


def resource(text: str, tables: Iterable[str]) -> Resource:
    """Return what `device`, `device/port` or `device/table/row` names.

    A port is a row of table "if" and may itself hold slashes ("ge-0/0/1"): the second part is a
    table's name only where there is such a table.
    """
    device, _, rest = text.partition("/")
    if not rest:
        return Resource(device)
    table, slash, row = rest.partition("/")
    if slash and row and table in tables:
        return Resource(device, table, row)
    return Resource(device, PORTS, rest)


def build_devices(
    found: Sequence[Entry],
    names: Mapping[str, int],
    tables: Sequence[str],
    source: Source,
    problems: Problems,
) -> dict[str, Device]:
    """Return the devices as the core sees them; unknown and circular upstreams are noted.

    `names` are those of all devices written down, good or not.
    """
    devices: dict[str, Device] = {}
    for entry in found:
        ups = []
        for i, text in enumerate(entry.upstream):
            up = resource(text, tables)
            at = (*entry.at, "upstream", i) if entry.row.upstream else _said_at(entry, "upstream")
            if up.device not in names:
                what = f"unknown device {quote(up.device)}"
                problems.unknown(source, at, what, up.device, names)
            elif up.device == entry.row.name:
                problems.add(source, at, "a device cannot be its own upstream", "Remove it")
            else:
                ups.append(up)
        devices[entry.row.name] = Device(
            name=entry.row.name,
            interval_s=entry.interval_s,
            site=entry.site,
            upstream=tuple(ups),
            labels=entry.labels,
            sources=_sources(entry),
        )
    _note_cycles(devices, {e.row.name: e.at for e in found}, source, problems)
    return devices


def _sources(entry: Entry) -> tuple[str, ...]:
    """Return how the device is looked at; whether it answers the first says if it is reachable."""
    snmp, netconf = bool(entry.credentials), entry.netconf is not None
    ways = (("snmp", snmp), ("netconf", netconf), ("mqtt", entry.mqtt))
    return tuple(way for way, true in ways if true)


def _note_cycles(
    devices: Mapping[str, Device], at: Mapping[str, KeyPath], source: Source, problems: Problems
) -> None:
    """Note each cycle of upstreams once. Depth first, without recursion: chains may be long."""
    done = {name for name, device in devices.items() if not device.upstream}
    for start in devices:
        trail: list[str] = []
        on_trail: dict[str, int] = {}
        todo: list[tuple[str, bool]] = [(start, False)]
        while todo:
            name, leaving = todo.pop()
            if leaving:
                done.add(name)
                del on_trail[trail.pop()]
            elif name in on_trail:
                ring = " → ".join([*trail[on_trail[name] :], name])
                what = f"upstreams go round in a circle: {ring}"
                problems.add(source, (*at[trail[-1]], "upstream"), what, "Remove one of them")
            elif name not in done:
                on_trail[name] = len(trail)
                trail.append(name)
                todo.append((name, True))
                ups = (up.device for up in devices[name].upstream)
                todo.extend((up, False) for up in ups if up in devices)
