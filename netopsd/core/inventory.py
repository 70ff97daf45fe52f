"""What the operator configured, as the core sees it: devices, rules, services, policies.

`netopsd.settings` builds one of these from the TOML folder. Frozen; a reload replaces it whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from netopsd.core.beliefs import AlarmType, Severity
from netopsd.core.model import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One network element. `upstream` names what stands between it and us.

    An entry is a device (`Resource("osl-agg1")`) or a port of one
    (`Resource("osl-agg1", "if", "ge-0/0/1")`); several entries are alternatives (any live one
    will do).
    """

    name: str
    interval_s: float = 30.0
    site: str = ""
    upstream: tuple[Resource, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ("snmp",)  # how it is looked at; reachable is who answers the first


class Take(StrEnum):
    """What a threshold looks at in its column."""

    VALUE = "value"  # the gauge as it is
    RATE = "rate"  # a counter's increase per second
    DELTA = "delta"  # a counter's increase since the last look


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A rule on one column of one table.

    The judged number is `take(column) * scale`, divided by column `per` where that is given (rows
    where `per` is 0 or missing are not judged). Bad: number in `bad`, or > `raise_above`, or <
    `raise_below`. Good again: none of these, and not on the wrong side of `clear_at` (hysteresis).
    In between the row stays what it was. `only_when` judges only rows whose gauge columns have
    these values (ifAdminStatus = 1); a row that leaves `only_when` is good.
    """

    alarm: str  # alarm type id: "link-down"
    table: str
    column: str
    take: Take = Take.VALUE
    bad: frozenset[float] = frozenset()
    raise_above: float | None = None
    raise_below: float | None = None
    clear_at: float | None = None
    scale: float = 1.0
    per: str = ""
    only_when: tuple[tuple[str, float], ...] = ()
    only_rows: str = ""  # regular expression on the row's name; "" is every row
    only_labels: tuple[tuple[str, str], ...] = ()  # label, regular expression
    hold_s: float = 0.0
    severity: Severity = Severity.MAJOR
    type: AlarmType = AlarmType.COMMUNICATIONS
    probable_cause: str = "unknown"
    text: str = ""  # for people; may use {device} {row} {value} and any {label}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRule:
    """What a trap or notification means.

    `row_from` names the value that holds the row's index (the OID prefix of ifIndex), looked up in
    table `table`; "" makes the device itself the resource. `clears` names the alarm type this event
    ends where the event is authenticated; an unauthenticated one only asks for a verifying look.
    """

    name: str  # the notification's OID or YANG name, exact
    title: str = ""  # what people call it: "linkDown"
    alarm: str  # alarm type id; "" raises nothing
    clears: str = ""
    table: str = ""
    row_from: str = ""
    only_when: tuple[tuple[str, str], ...] = ()  # value's name, regular expression
    severity: Severity = Severity.MAJOR
    type: AlarmType = AlarmType.COMMUNICATIONS
    probable_cause: str = "unknown"
    text: str = ""
    verify_after_s: tuple[float, ...] = (0.0, 60.0)
    momentary: bool = False  # something that happened, not something that is: clears by time
    momentary_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A maintenance window over some devices or services, planned and announced.

    Alarms inside it are kept and marked, open no ticket and cost no availability.
    """

    name: str
    starts: datetime
    ends: datetime
    devices: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Below `below` (a share, Decimal("0.999")) of availability, `credit` of the fee is owed."""

    below: Decimal
    credit: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What one customer buys, and which resources carry it.

    `paths` is all-of-any-of: the service is up while every group has at least one resource up.
    `target` is the promised availability of a calendar month in `zone`. `tiers` is ordered from
    the mildest (its `below` equals the target) to the worst. `meters` are the ports whose octets
    are its usage.
    """

    id: str
    name: str
    customer: str
    account: str
    zone: str  # IANA
    paths: tuple[tuple[Resource, ...], ...]
    target: Decimal
    tiers: tuple[Tier, ...] = ()
    meters: tuple[Resource, ...] = ()
    active_from: datetime | None = None
    active_until: datetime | None = None
    unreachable_is_down: bool = True  # False: time when its device did not answer is unknown
    priority: int = 3  # 1 (highest) … 4, for tickets that hurt it


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers that shape judgement. Defaults are the shipped ones."""

    unreachable_after: int = 3  # failed looks before a device counts as unreachable
    unreachable_severity: Severity = Severity.CRITICAL
    silent_after_s: float = 900.0  # a device not looked at for this long: too-long-silence
    isolation_devices: int = 3  # fewer devices than this cannot tell us that we are cut off
    flap_raise: float = 35.0  # Zino's numbers: weight doubles per change, halves per 300 s
    flap_clear: float = 1.5
    flap_half_life_s: float = 300.0
    alarms_per_device: int = 1000
    ticket_hold_s: float = 60.0
    ticket_severity: Severity = Severity.MAJOR  # at least this severe, or a service is hurt
    ticket_reopen_s: float = 3600.0
    ticket_close_s: float = 86400.0  # resolved → closed by itself
    burn_warnings: tuple[int, ...] = (50, 80, 100)  # per cent of the downtime budget
    state_holds_s: float = 300.0  # a sample's state is believed this long without a new sample
    usage_interval_s: int = 300
    checkpoint_s: float = 30.0  # meters and service clocks are stored at least this often
    max_rate_over_speed: float = 1.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Everything configured that judgement needs."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    thresholds: tuple[Threshold, ...] = ()
    events: tuple[EventRule, ...] = ()
    services: Mapping[str, Service] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()
    policy: Policy = Policy()
