"""From a folder of TOML to Settings: read, resolve secrets, validate, cross-check, build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bss_bridge.settings import Contract, Customer, FileSinkSettings, SinkSettings
from collectors.mqtt.settings import CollectSettings, MqttSettings
from collectors.netconf.settings import ActivationSettings, NetconfSettings, ViewsFile
from collectors.netconf.templates import Template
from collectors.snmp_poll.settings import Credentials, SnmpPollSettings, TableSpec, Target
from collectors.snmp_trap.settings import TrapSettings
from netopsd.core.inventory import Inventory
from netopsd.errors import BadConfiguration
from netopsd.settings import daemon
from netopsd.settings.activation import read_templates
from netopsd.settings.checks import validate, words_of
from netopsd.settings.files import Source
from netopsd.settings.mqtt import check_mqtt, read_mqtt
from netopsd.settings.netconf import NetconfDevices
from netopsd.settings.netconf import columns as netconf_columns
from netopsd.settings.parts import (
    Reading,
    read_business,
    read_network,
    read_rules,
    read_tables,
)
from netopsd.settings.problems import Problems, quote, unforeseen
from netopsd.settings.secrets import resolve

MAIN = "netopsd.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything configured, checked whole. Secrets are SecretStr; paths and URLs are absolute."""

    folder: Path
    files: daemon.FilesTable  # names of the other files, relative to the folder
    state: Path  # where the databases live; made by whoever starts the daemon
    store_url: str  # sqlite:////…
    office_url: str
    http: daemon.HttpSettings
    log: daemon.LogSettings
    poll: daemon.PollTable
    traps: TrapSettings
    snmp: SnmpPollSettings
    netconf: NetconfSettings
    netconf_devices: NetconfDevices
    activation: ActivationSettings
    templates: Mapping[str, Template]  # of services, by name
    mqtt: MqttSettings | None  # None: no broker
    collect: CollectSettings
    views: ViewsFile
    tables: tuple[TableSpec, ...]
    credentials: Mapping[str, Credentials]  # by name
    targets: Mapping[str, Target]  # device name → how to ask it
    customers: tuple[Customer, ...]
    contracts: Mapping[str, Contract]  # service id → contract
    sinks: tuple[SinkSettings, ...]
    inventory: Inventory


class _Sinks(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    sink: tuple[SinkSettings, ...] = ()


def load(folder: Path | str, overrides: Sequence[str] = ()) -> Settings:
    """Return the configuration of `folder` with `key=value` overrides of netopsd.toml applied.

    Opens, starts and creates nothing. Raises BadConfiguration with every mistake found.
    """
    reading = Reading(Path(folder), Problems())
    with unforeseen(reading.problems, MAIN):
        settings = _settings(reading, overrides)
    if settings is None or reading.problems:
        raise BadConfiguration(reading.problems.lines)
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a daemon keeps its databases and answers: all that commands beside it need."""

    state: Path
    store_url: str
    office_url: str
    http: daemon.HttpSettings


def load_places(folder: Path | str, overrides: Sequence[str] = ()) -> Places:
    """Return what netopsd.toml alone says of the databases and the API.

    Quick, and good while other files have mistakes. Raises BadConfiguration.
    """
    reading = Reading(Path(folder), Problems())
    with unforeseen(reading.problems, MAIN):
        source = _main_source(reading, overrides)
        main = reading.shape(daemon.DaemonFile, source) if source else None
    if main is None or source is None or reading.problems:
        raise BadConfiguration(reading.problems.lines)
    state = daemon.state_directory(main.state, reading.folder)
    store, office = _databases(main, state, source, reading.problems)
    return Places(state=state, store_url=store, office_url=office, http=main.http)


def _main_source(reading: Reading, overrides: Sequence[str]) -> Source | None:
    """Return netopsd.toml with its overrides, None where there is none to be had."""
    if not _is_folder(reading.folder):
        where = Source(file=str(reading.folder), text="", data={})
        remedy = "Name the folder of netopsd.toml with --config"
        reading.problems.add(where, (), "no such folder", remedy)
        return None
    source = reading.source(MAIN)
    return None if source is None else daemon.override(source, overrides, reading.problems)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long, or not ours to look into
        return False


def _settings(reading: Reading, overrides: Sequence[str]) -> Settings | None:
    problems = reading.problems
    source = _main_source(reading, overrides)
    if source is None and not _is_folder(reading.folder):
        return None
    source = source or Source(file=MAIN, text="", data={})
    data = resolve(source.data, source, (), reading.folder, problems)
    main = reading.shape(daemon.DaemonFile, source, data) or daemon.DaemonFile()
    state = daemon.state_directory(main.state, reading.folder)
    daemon.check_tokens(main.http, source, problems)
    snmp = validate(SnmpPollSettings, main.snmp, source, ("snmp",), problems)
    traps = validate(TrapSettings, main.traps, source, ("traps",), problems)
    sinks = _sinks(data, source, state, reading)
    named = main.files
    with unforeseen(problems, named.tables):
        tables = read_tables(reading, named.tables)
    names = None if tables is None else [table.name for table in tables]
    netconf = validate(NetconfSettings, main.netconf, source, ("netconf",), problems)
    activation = validate(ActivationSettings, main.activation, source, ("activation",), problems)
    with unforeseen(problems, named.templates):
        templates = read_templates(reading, named.templates)
    files = (named.devices, named.yang)
    with unforeseen(problems, *files):
        network = read_network(reading, files, names, snmp or SnmpPollSettings())
    mqtt = read_mqtt((main.mqtt, main.collect), source, reading.folder, problems)
    views = netconf_columns(network.views, names or ()) if network is not None else {}
    with unforeseen(problems, named.rules):
        rules = read_rules(reading, named.rules, tables, {**views, **mqtt.columns})
    if network is not None:
        check_mqtt(mqtt, network.devices, source, problems)
    trade = (named.services, named.customers)
    with unforeseen(problems, *trade):
        business = read_business(reading, trade, network, names)
    store, office = _databases(main, state, source, problems)
    if traps is None or snmp is None or tables is None or network is None or netconf is None:
        return None
    if problems:
        return None
    return Settings(
        folder=reading.folder.absolute(),
        files=main.files,
        state=state,
        store_url=store,
        office_url=office,
        http=main.http,
        log=main.log,
        poll=main.poll,
        traps=traps,
        snmp=snmp,
        netconf=netconf,
        netconf_devices=network.netconf,
        activation=activation or ActivationSettings(),
        templates=templates,
        mqtt=mqtt.broker,
        collect=mqtt.collect,
        views=network.views,
        tables=tables,
        credentials=network.credentials,
        targets=network.targets,
        customers=business.customers,
        contracts=business.contracts,
        sinks=sinks,
        inventory=Inventory(
            devices=network.devices,
            thresholds=rules.thresholds,
            events=rules.events,
            services=business.services,
            windows=business.windows,
            policy=rules.policy,
        ),
    )


def _databases(
    main: daemon.DaemonFile, state: Path, source: Source, problems: Problems
) -> tuple[str, str]:
    store = daemon.absolute_url(main.store.url, state)
    office = daemon.absolute_url(main.office.url, state)
    if store == office:
        what = "the office keeps a database of its own"
        problems.add(source, ("office", "url"), what, "Give it another file name")
    return store, office


def _sinks(
    data: Mapping[str, Any], source: Source, state: Path, reading: Reading
) -> tuple[SinkSettings, ...]:
    """Return the sinks; files they write are below `state`, files they read below the folder."""
    problems = reading.problems
    rows = data.get("sink", [])
    if not isinstance(rows, list):
        return ()  # noted with the shape of the file
    checked = validate(_Sinks, {"sink": rows}, source, (), problems)
    names = words_of(rows, "name")
    for i, row in enumerate(rows):
        name = row.get("name") if isinstance(row, dict) else None
        if isinstance(name, str) and names[name] != i:
            what = f"sink {quote(name)} is there already"
            problems.add(source, ("sink", i, "name"), what, "Give each sink its own name")
    if checked is None:
        return ()
    return tuple(_placed(sink, state, reading.folder) for sink in checked.sink)


def _placed(sink: SinkSettings, state: Path, folder: Path) -> SinkSettings:
    if isinstance(sink, FileSinkSettings):
        return sink.model_copy(update={"path": (state / sink.path).absolute()})
    files = {
        name: (folder / path).absolute()
        for name in ("ca_file", "cert_file", "key_file")
        if (path := getattr(sink, name, None)) is not None
    }
    return sink.model_copy(update=files) if files else sink
