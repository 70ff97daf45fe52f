"""NETCONF in devices.toml and yang.toml: who we are, which key a device shows, what to read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError

from collectors.netconf.settings import NetconfCredentials, NetconfTarget, ViewsFile
from collectors.netconf.views import COUNTERS
from netopsd.settings.checks import validate
from netopsd.settings.files import KeyPath, Source
from netopsd.settings.problems import Problems, quote
from netopsd.settings.rules import Columns
from netopsd.settings.words import Name, Port, Text
from netopsd.web.exposition import metric_name

Table = dict[str, Any]

# Its sessions belong to a worker that looks; an order needs one that holds locks until the end.
UNFIT = 'service orders are not carried out over transport = "ncclient"'
UNFIT_REMEDY = "Leave out transport, or activate"


class Netconf(BaseModel):
    """`netconf = {…}` of a device, its template, or [defaults].

    `login` is the user that collects and may only read; `activate` the one that carries out
    service orders, without which none is sent to this device. `leave` names tables not to ask for
    besides those that SNMP reads from it anyway.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    login: Name = Field(description='"NAME" of a [login.NAME]')
    activate: Name | None = None
    port: Port = 830
    host_keys: tuple[Text, ...] = Field(
        min_length=1, description='["ssh-ed25519 AAAA…"] or ["SHA256:…"]'
    )
    views: tuple[Name, ...] | None = None
    leave: tuple[Name, ...] = ()
    handler: Text = "default"
    transport: Literal["asyncssh", "ncclient"] = "asyncssh"
    stream: Text = ""
    legacy_algorithms: StrictBool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NetconfDevices:
    """What NETCONF is to do. `activators` are the targets as the activating user sees them."""

    targets: Mapping[str, NetconfTarget] = field(default_factory=dict)
    activators: Mapping[str, NetconfTarget] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One device that speaks NETCONF, as written. `leave` are the tables SNMP reads."""

    at: KeyPath
    name: str
    address: str
    said: Netconf
    leave: frozenset[str]


def build(
    asked: Sequence[Asked],
    logins: Mapping[str, NetconfCredentials | None],
    views: ViewsFile,
    source: Source,
    problems: Problems,
) -> NetconfDevices:
    """Return the targets; unknown logins and views and wrong keys are noted."""
    targets: dict[str, NetconfTarget] = {}
    activators: dict[str, NetconfTarget] = {}
    known = [view.name for view in views.view]
    for one in asked:
        for view in one.said.views or ():
            if view not in known:
                at = (*one.at, "netconf", "views")
                problems.unknown(source, at, f"unknown view {quote(view)}", view, known)
        if one.said.activate is not None and one.said.transport == "ncclient":
            at = (*one.at, "netconf", "activate")
            problems.add(source, at, UNFIT, UNFIT_REMEDY)
        for key, name, into in (
            ("login", one.said.login, targets),
            ("activate", one.said.activate, activators),
        ):
            if name is None:
                continue
            if name not in logins:
                at = (*one.at, "netconf", key)
                problems.unknown(source, at, f"unknown login {quote(name)}", name, list(logins))
                continue
            credentials = logins[name]
            if credentials is not None:
                target = _target(one, credentials, known, source, problems)
                if target is not None:
                    into[one.name] = target
    return NetconfDevices(targets=targets, activators=activators)


def _target(
    one: Asked,
    credentials: NetconfCredentials,
    views: Sequence[str],
    source: Source,
    problems: Problems,
) -> NetconfTarget | None:
    said = one.said
    try:
        return NetconfTarget(
            name=one.name,
            address=one.address,
            port=said.port,
            credentials=credentials,
            host_keys=said.host_keys,
            views=tuple(views) if said.views is None else said.views,
            leave=one.leave | frozenset(said.leave),
            handler=said.handler,
            transport=said.transport,
            stream=said.stream,
            legacy_algorithms=said.legacy_algorithms,
        )
    except ValidationError as error:
        for wrong in error.errors(include_url=False):
            if wrong["type"] == "too_short":
                continue  # what is left of a list whose entries were refused
            what = str(wrong["msg"]).removeprefix("Value error, ")
            key = tuple(str(step) for step in wrong["loc"][:1])
            problems.add(source, (*one.at, "netconf", *key), what)
        return None


def columns(views: ViewsFile, known: Collection[str]) -> dict[str, Columns]:
    """Return what views offer to rules, by table; tables of tables.toml (`known`) say it there."""
    offered: dict[str, Columns] = {}
    none: frozenset[str] = frozenset()
    for table in (table for view in views.view for table in view.table):
        if table.name in known:
            continue
        counters = {column.name for column in table.column if column.kind in COUNTERS}
        was = offered.get(table.name) or Columns(counters=none, gauges=none, labels=none)
        offered[table.name] = Columns(
            counters=was.counters | counters,
            gauges=was.gauges | {column.name for column in table.column} - counters,
            labels=was.labels | set(table.labels),
        )
    return offered


def read_views(data: Mapping[str, Any], source: Source, problems: Problems) -> ViewsFile:
    """Return yang.toml, empty where it has mistakes (which are noted)."""
    views = validate(ViewsFile, data, source, (), problems)
    for i, view in enumerate(views.view if views else ()):
        for j, table in enumerate(view.table):
            known: dict[str, str] = {}
            for k, column in enumerate(table.column):
                first = known.setdefault(metric_name(column.name), column.name)
                if first != column.name:
                    what = f"{quote(column.name)} and {quote(first)} are one name in /metrics"
                    at = ("view", i, "table", j, "column", k, "name")
                    problems.add(source, at, what, "Give one of the two another name")
    return views or ViewsFile()
