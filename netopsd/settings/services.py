"""services.toml: what customers buy, which resources carry it, and planned maintenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt

from bss_bridge.settings import Contract, Customer, Identifier, Zone
from netopsd.core.inventory import Device, Service, Tier, Window
from netopsd.core.model import Resource
from netopsd.settings.devices import PORTS, resource
from netopsd.settings.files import KeyPath, Source
from netopsd.settings.problems import Problems, quote
from netopsd.settings.words import Bool, Text, moment

SHORTEST_MONTH_S = 28 * 86400
NOBODY = Customer(id="nobody", name="")  # stands in while there are mistakes to report
LOOKS_IN_BUDGET = 8  # 99.99 % is 242 s of a February: eight looks of 30 s


def either(value: object) -> object:
    """Return an entry of `paths` as a list: a text alone is a group of one."""
    return [value] if isinstance(value, str) else value


Table = dict[str, Any]
Group = Annotated[tuple[Text, ...], BeforeValidator(either), Field(min_length=1)]
Moment = Annotated[datetime, BeforeValidator(moment)]


class ServiceRow(BaseModel):
    """One [[service]]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Identifier = Field(description='"a-unique-id"')
    name: Text = ""
    account: Identifier = Field(description='"the id of an account in customers.toml"')
    paths: tuple[Group, ...] = Field(
        min_length=1, description='["device/port"], what must be up for the service to be up'
    )
    meters: tuple[Text, ...] = ()
    active_from: Moment | None = None
    active_until: Moment | None = None
    unreachable_is_down: Bool = True
    priority: Annotated[StrictInt, Field(ge=1, le=4)] = 3


class WindowRow(BaseModel):
    """One [[window]] of planned maintenance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text = Field(min_length=1, description='"a-unique-name"')
    starts: Moment = Field(description="2026-12-01T02:00:00Z")
    ends: Moment = Field(description="2026-12-01T04:00:00Z")
    zone: Zone | None = None
    devices: tuple[Text, ...] = ()
    services: tuple[Text, ...] = ()
    why: Text = ""


class ServicesFile(BaseModel):
    """services.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: tuple[Table, ...] = ()
    window: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What services may refer to: all that is written down, good or not."""

    devices: Mapping[str, int]
    accounts: Sequence[str]
    tables: Sequence[str]
    owners: Mapping[str, Customer]  # account id → its customer
    contracts: Mapping[str, Contract]  # service id → contract


def build_services(
    rows: Sequence[tuple[int, ServiceRow]], known: Known, source: Source, problems: Problems
) -> dict[str, Service]:
    """Return the services by id; unknown accounts and resources and doubled ids are noted."""
    services: dict[str, Service] = {}
    for i, row in rows:
        at: KeyPath = ("service", i)
        if row.id in services:
            what = f"service {quote(row.id)} is there already"
            problems.add(source, (*at, "id"), what, "Give each service its own id")
            continue
        if row.account not in known.accounts:
            what = f"unknown account {quote(row.account)}"
            problems.unknown(source, (*at, "account"), what, row.account, known.accounts)
        dated = _dated(row, at, source, problems)
        owner = known.owners.get(row.account, NOBODY)
        services[row.id] = _service(dated, owner, known, at, (source, problems))
    return services


def _dated(row: ServiceRow, at: KeyPath, source: Source, problems: Problems) -> ServiceRow:
    """Return the row with its moments in aware UTC, as everything they are compared with."""
    moments = {
        key: _aware(value, None, (*at, key), source, problems)
        for key in ("active_from", "active_until")
        if (value := getattr(row, key)) is not None
    }
    if len(moments) == 2 and moments["active_until"] <= moments["active_from"]:
        problems.add(source, (*at, "active_until"), "must be later than active_from")
    return row.model_copy(update=moments)


def _service(
    row: ServiceRow,
    owner: Customer,
    known: Known,
    at: KeyPath,
    to: tuple[Source, Problems],
) -> Service:
    contract = known.contracts.get(row.id)
    paths = tuple(
        tuple(_resource(text, known, (*at, "paths", i), to) for text in group)
        for i, group in enumerate(row.paths)
    )
    meters = tuple(_meter(text, known, (*at, "meters", i), to) for i, text in enumerate(row.meters))
    return Service(
        id=row.id,
        name=row.name or (contract.name if contract else row.id),
        customer=owner.id,
        account=row.account,
        zone=owner.zone,
        paths=paths,
        target=contract.target if contract else Decimal(0),
        tiers=_tiers(contract),
        meters=meters,
        active_from=row.active_from,
        active_until=row.active_until,
        unreachable_is_down=row.unreachable_is_down,
        priority=row.priority,
    )


def _tiers(contract: Contract | None) -> tuple[Tier, ...]:
    if contract is None:
        return ()
    return tuple(Tier(below=tier.below, credit=tier.credit) for tier in contract.tiers)


def _resource(text: str, known: Known, at: KeyPath, to: tuple[Source, Problems]) -> Resource:
    """Return the resource, noting a device that does not exist."""
    source, problems = to
    found = resource(text, known.tables)
    if found.device not in known.devices:
        what = f"unknown device {quote(found.device)}"
        problems.unknown(source, at, what, found.device, known.devices)
    return found


def _meter(text: str, known: Known, at: KeyPath, to: tuple[Source, Problems]) -> Resource:
    found = _resource(text, known, at, to)
    if found.table != PORTS:
        what = f"{quote(text)} is no port, and only ports count octets"
        to[1].add(to[0], at, what, 'Write "device/port"')
    return found


def check_precision(
    services: Mapping[str, Service],
    devices: Mapping[str, Device],
    at: Mapping[str, KeyPath],
    source: Source,
    problems: Problems,
) -> None:
    """Note promises too fine for how often their devices are looked at.

    The downtime a target allows in the shortest month must be at least eight looks of the slowest
    device that carries the service: otherwise one lost packet could break the promise unseen.
    """
    for service in services.values():
        budget_s = float((1 - service.target) * SHORTEST_MONTH_S)
        carriers = [
            devices[resource.device]
            for group in service.paths
            for resource in group
            if resource.device in devices
        ]
        slowest = max(carriers, key=lambda device: device.interval_s, default=None)
        if slowest is None or budget_s >= LOOKS_IN_BUDGET * slowest.interval_s:
            continue
        what = (
            f"{(service.target * 100).normalize():f} % allows {budget_s:.1f} s of downtime in a"
            f" month, less than {LOOKS_IN_BUDGET} looks at device {quote(slowest.name)}, which is"
            f" looked at every {slowest.interval_s:g} s"
        )
        most = budget_s / LOOKS_IN_BUDGET
        remedy = f"Look at its devices every {most:.2g} s or oftener, or promise less"
        problems.add(source, (*at[service.id], "target"), what, remedy)


def build_windows(
    rows: Sequence[tuple[int, WindowRow]],
    devices: Mapping[str, int],
    services: Mapping[str, int],
    source: Source,
    problems: Problems,
) -> tuple[Window, ...]:
    """Return the maintenance windows in aware UTC; ill-formed ones are noted and left out."""
    built: dict[str, Window] = {}
    for i, row in rows:
        at: KeyPath = ("window", i)
        starts, ends = (
            _aware(getattr(row, key), row.zone, (*at, key), source, problems)
            for key in ("starts", "ends")
        )
        if ends <= starts:
            problems.add(source, (*at, "ends"), "must be later than starts")
        if not row.devices and not row.services:
            remedy = 'Write devices = ["…"] or services = ["…"]'
            problems.add(source, at, "covers nothing", remedy)
        for key, known in (("devices", devices), ("services", services)):
            for j, name in enumerate(getattr(row, key)):
                if name not in known:
                    what = f"unknown {key[:-1]} {quote(name)}"
                    problems.unknown(source, (*at, key, j), what, name, known)
        if row.name in built:
            what = f"window {quote(row.name)} is there already"
            problems.add(source, (*at, "name"), what, "Give each window its own name")
        built[row.name] = Window(
            name=row.name,
            starts=starts,
            ends=ends,
            devices=frozenset(row.devices),
            services=frozenset(row.services),
            why=row.why,
        )
    return tuple(built.values())


def _aware(
    value: datetime, zone: str | None, at: KeyPath, source: Source, problems: Problems
) -> datetime:
    """Return the moment in UTC; one of no zone, or of no year in UTC, is noted."""
    if value.tzinfo is None and zone is None:
        remedy = "Write 2026-12-01T02:00:00Z"
        if at[0] == "window":
            remedy += ', or add zone = "Europe/Oslo"'
        problems.add(source, at, "says not in which time zone", remedy)
    if value.tzinfo is None:
        value = value.replace(tzinfo=ZoneInfo(zone) if zone else UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        what = "is before the year 1 or after the year 9999 in UTC"
        problems.add(source, at, what, "Write a moment nearer to us")
        return value.replace(tzinfo=UTC)
