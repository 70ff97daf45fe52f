"""Each file of the folder, from its text to the values the house works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bss_bridge.settings import Contract, Customer
from collectors.netconf.settings import NetconfCredentials, ViewsFile
from collectors.snmp_poll.settings import (
    Credentials,
    SnmpPollSettings,
    TablesFile,
    TableSpec,
    Target,
)
from netopsd.core.alarm import OVERFLOW
from netopsd.core.cause import UNREACHABLE
from netopsd.core.inventory import Device, EventRule, Policy, Service, Threshold, Window
from netopsd.core.look import RESTARTED
from netopsd.core.model import Kind
from netopsd.core.reach import ISOLATED, REFUSED, SESSION_LOST, TOO_LONG_SILENT, UNREADABLE
from netopsd.settings import customers as c
from netopsd.settings import devices as d
from netopsd.settings import netconf as n
from netopsd.settings import rules as r
from netopsd.settings import services as s
from netopsd.settings.checks import validate, validate_rows, words_of
from netopsd.settings.files import BadFile, Source, read_source
from netopsd.settings.models import shown_key
from netopsd.settings.netconf import NetconfDevices
from netopsd.settings.problems import Problems
from netopsd.settings.secrets import resolve

M = TypeVar("M", bound=BaseModel)
COUNTERS = (Kind.COUNTER32, Kind.COUNTER64)
OWN_ALARMS = (
    UNREACHABLE,
    RESTARTED,
    TOO_LONG_SILENT,
    ISOLATED,
    REFUSED,
    UNREADABLE,
    OVERFLOW,
    SESSION_LOST,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """Where files are read from, and where mistakes are noted."""

    folder: Path
    problems: Problems

    def source(self, file: str, *, needed: bool = True) -> Source | None:
        """Return a file; None where it cannot be read, an empty one where it may be absent."""
        if not needed and not (self.folder / file).exists():
            return Source(file=file, text="", data={})
        try:
            return read_source(self.folder, file)
        except BadFile as error:
            self.problems.add(Source(file=file, text="", data={}), (), str(error))
            return None

    def shape(self, model: type[M], source: Source | None, data: Any = None) -> M | None:
        """Return the top level of a file."""
        if source is None:
            return None
        return validate(model, source.data if data is None else data, source, (), self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """devices.toml, understood."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    netconf: NetconfDevices = field(default_factory=NetconfDevices)
    views: ViewsFile = field(default_factory=ViewsFile)
    names: Mapping[str, int] = field(default_factory=dict)  # all written down, good or not


def read_tables(reading: Reading, file: str) -> tuple[TableSpec, ...] | None:
    """Return tables.toml; None where it has mistakes, so that nothing is checked against it."""
    shape = reading.shape(TablesFile, reading.source(file))
    return None if shape is None else shape.table


def read_network(
    reading: Reading, files: tuple[str, str], tables: Sequence[str] | None, snmp: SnmpPollSettings
) -> Network | None:
    """Return devices.toml as targets for the pollers and devices for the core; None: unread.

    `files` names devices.toml and yang.toml; the latter is read where a device speaks NETCONF.
    """
    source = reading.source(files[0])
    shape = reading.shape(d.DevicesFile, source)
    if source is None or shape is None:
        return None
    problems = reading.problems
    credentials = _credentials(reading, shape, source)
    defaults = validate(d.Common, shape.defaults, source, ("defaults",), problems)
    templates = {
        name: validate(d.Common, table, source, ("template", name), problems)
        for name, table in shape.template.items()
    }
    builtin = d.Builtin(
        timeout_s=snmp.timeout_s,
        retries=snmp.retries,
        tables=Target.model_fields["tables"].default if tables is None else tuple(tables),
    )
    rows = validate_rows(d.Row, shape.device, source, ("device",), problems)
    found = d.entries(rows, templates, (defaults or d.Common(), builtin), source, problems)
    if defaults is not None:
        d.check_entries(found, list(shape.credentials), tables, source, problems)
    names = words_of(shape.device, "name")
    netconf, views = _netconf(reading, files[1], (shape, found), source)
    return Network(
        netconf=netconf,
        views=views,
        devices=d.build_devices(found, names, tables or (d.PORTS,), source, problems),
        targets=_targets(found, credentials, source, problems),
        credentials={name: one for name, one in credentials.items() if one is not None},
        names=names,
    )


def _netconf(
    reading: Reading, file: str, written: tuple[d.DevicesFile, Sequence[d.Entry]], source: Source
) -> tuple[NetconfDevices, ViewsFile]:
    """Return what NETCONF is to ask of whom, and what the answers mean."""
    shape, found = written
    asked = [
        n.Asked(
            at=entry.at,
            name=entry.row.name,
            address=entry.row.address,
            said=entry.netconf,
            leave=frozenset(entry.tables) if entry.credentials else frozenset(),
        )
        for entry in found
        if entry.netconf is not None
    ]
    logins: dict[str, NetconfCredentials | None] = {}
    for name, table in shape.login.items():
        at = ("login", name)
        data = resolve(table, source, at, reading.folder, reading.problems)
        logins[name] = validate(NetconfCredentials, data, source, at, reading.problems)
    if not asked:
        return NetconfDevices(), ViewsFile()
    yang = reading.source(file)
    views = n.read_views(yang.data, yang, reading.problems) if yang else ViewsFile()
    return n.build(asked, logins, views, source, reading.problems), views


def _credentials(
    reading: Reading, shape: d.DevicesFile, source: Source
) -> dict[str, Credentials | None]:
    built = {}
    for name, table in shape.credentials.items():
        at = ("credentials", name)
        data = resolve(table, source, at, reading.folder, reading.problems)
        built[name] = validate(Credentials, data, source, at, reading.problems)
    return built


def _targets(
    found: Sequence[d.Entry],
    credentials: Mapping[str, Credentials | None],
    source: Source,
    problems: Problems,
) -> dict[str, Target]:
    """Return how to ask each device; those whose credentials have mistakes are left out."""
    targets = {}
    for entry in found:
        asked_with = credentials.get(entry.credentials)
        if asked_with is None:
            continue
        try:
            targets[entry.row.name] = _target(entry, asked_with)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                what = str(one["msg"]).removeprefix("Value error, ")
                key = tuple(shown_key(str(step)) for step in one["loc"][:1])
                problems.add(source, (*entry.at, *key), what)
    return targets


def _target(entry: d.Entry, credentials: Credentials) -> Target:
    return Target(
        name=entry.row.name,
        address=entry.row.address,
        port=entry.port,
        credentials=credentials,
        tables=entry.tables,
        timeout_s=entry.timeout_s,
        retries=entry.retries,
        interval_s=entry.interval_s,
        engine=entry.engine,
        any_source=entry.any_source,
    )


def columns(spec: TableSpec) -> r.Columns:
    """Return what a table offers to rules: numbers by kind, and labels."""
    return r.Columns(
        counters=frozenset(column.name for column in spec.column if column.kind in COUNTERS),
        gauges=frozenset(column.name for column in spec.numbers if column.kind not in COUNTERS),
        labels=frozenset({spec.index, *(c.name for c in spec.column if c.label)}),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """rules.toml, understood."""

    thresholds: tuple[Threshold, ...] = ()
    events: tuple[EventRule, ...] = ()
    policy: Policy = field(default_factory=Policy)


def read_rules(
    reading: Reading,
    file: str,
    tables: Sequence[TableSpec] | None,
    more: Mapping[str, r.Columns] | None = None,
) -> Rulebook:
    """Return rules.toml. `more` is what tables offer that are not in tables.toml."""
    source = reading.source(file)
    shape = reading.shape(r.RulesFile, source)
    if source is None or shape is None:
        return Rulebook()
    problems = reading.problems
    more = more or {}
    names = None if tables is None else [*(spec.name for spec in tables), *more]
    offered = None if tables is None else {**{t.name: columns(t) for t in tables}, **more}
    limits = validate_rows(r.ThresholdRow, shape.threshold, source, ("threshold",), problems)
    events = validate_rows(r.EventRow, shape.event, source, ("event",), problems)
    policy = validate(r.PolicyTable, shape.policy, source, ("policy",), problems)
    alarms = [*OWN_ALARMS, *words_of(shape.threshold, "alarm")]
    return Rulebook(
        thresholds=r.build_thresholds(limits, offered, source, problems),
        events=r.build_events(events, alarms, names, source, problems),
        policy=r.build_policy(policy, source, problems) if policy else Policy(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """services.toml and customers.toml, understood."""

    services: Mapping[str, Service] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()
    customers: tuple[Customer, ...] = ()
    contracts: Mapping[str, Contract] = field(default_factory=dict)


def read_business(
    reading: Reading, files: tuple[str, str], network: Network | None, tables: Sequence[str] | None
) -> Business:
    """Return services.toml and customers.toml, which refer to each other. Either may be absent."""
    of_services = reading.source(files[0], needed=False)
    of_customers = reading.source(files[1], needed=False)
    offer = reading.shape(s.ServicesFile, of_services)
    trade = reading.shape(c.CustomersFile, of_customers)
    if of_services is None or of_customers is None or offer is None or trade is None:
        return Business()
    problems = reading.problems
    buyers = validate_rows(Customer, trade.customer, of_customers, ("customer",), problems)
    terms = validate_rows(c.ContractRow, trade.contract, of_customers, ("contract",), problems)
    rows = validate_rows(s.ServiceRow, offer.service, of_services, ("service",), problems)
    owners = c.owners(buyers, of_customers, problems)
    ids = words_of(offer.service, "id")
    named = {row.id: (row.account, row.name or row.id) for _, row in rows}
    contracts = c.build_contracts(
        [(i, row) for i, row in terms if row.service in named or row.service not in ids],
        named,
        owners,
        of_customers,
        problems,
    )
    if network is None:
        return Business()
    known = s.Known(
        devices=network.names,
        accounts=[id for row in trade.customer for id in words_of(_list(row.get("account")), "id")],
        tables=tables or (d.PORTS,),
        owners=owners,
        contracts=contracts,
    )
    services = s.build_services(rows, known, of_services, problems)
    at = {row.service: ("contract", i) for i, row in terms}
    promised = {id: service for id, service in services.items() if id in contracts}
    s.check_precision(promised, network.devices, at, of_customers, problems)
    windows = validate_rows(s.WindowRow, offer.window, of_services, ("window",), problems)
    return Business(
        services=services,
        windows=s.build_windows(windows, network.names, ids, of_services, problems),
        customers=tuple(customer for _, customer in buyers),
        contracts=contracts,
    )


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
