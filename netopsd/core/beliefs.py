"""What we believe, and what we must tell: alarms, tickets, outages, SLA state, usage, notices.

All of it survives in the store. Values are frozen; a change is a new value. Ids are derived from
content or from sequences kept in the world, so a replay gives the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from netopsd.core.model import Resource


class Severity(StrEnum):
    """Perceived severity (X.733 section 8.1.2.3)."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    WARNING = "warning"
    INDETERMINATE = "indeterminate"
    CLEARED = "cleared"

    @property
    def rank(self) -> int:
        """0 for critical … 5 for cleared: the lower the worse."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class AlarmType(StrEnum):
    """Event type (X.733, X.736; the words of TMF642)."""

    COMMUNICATIONS = "communicationsAlarm"
    PROCESSING = "processingErrorAlarm"
    ENVIRONMENTAL = "environmentalAlarm"
    QUALITY = "qualityOfServiceAlarm"
    EQUIPMENT = "equipmentAlarm"
    INTEGRITY = "integrityViolation"
    OPERATIONAL = "operationalViolation"
    PHYSICAL = "physicalViolation"
    SECURITY = "securityService"
    MECHANISM = "mechanismViolation"
    TIME = "timeDomainViolation"


class Phase(StrEnum):
    """How far an alarm has come. Clearing is the instrumentation's word, never the operator's."""

    PENDING = "pending"  # bad, but not yet for long enough to tell anyone
    ACTIVE = "active"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Our belief that one thing is wrong with one resource (RFC 8632 identity and lifecycle).

    `key` is resource + alarm type id + qualifier and outlives clearing: a new raise is the same
    alarm with `occurrence` one higher. Acknowledging and shelving are axes of their own.
    `root` is the key of the alarm that explains this one ("" where it stands for itself).
    `announced` outlives whatever hushes the alarm later: who heard of it must hear that it is over.
    """

    key: str
    resource: Resource
    alarm: str  # alarm type id
    qualifier: str = ""
    type: AlarmType
    severity: Severity
    probable_cause: str
    text: str
    why: str  # the reason of the latest change
    phase: Phase
    occurrence: int = 1
    since: datetime  # of the phase: first bad sample while pending or active
    raised_at: datetime | None = None
    cleared_at: datetime | None = None
    changed_at: datetime
    source: str = "poll"  # poll | trap | netconf | mqtt | self
    count: int = 1  # how often it was seen bad or told by event in this occurrence
    acked_by: str = ""
    acked_at: datetime | None = None
    shelved_until: datetime | None = None
    shelved_by: str = ""
    flapping: bool = False
    flap_weight: float = 0.0  # as of flap_at; decays by half every Policy.flap_half_life_s
    flap_at: datetime | None = None
    root: str = ""
    maintenance: str = ""  # name of the window it fell into
    announced: bool = True  # people were told of this occurrence

    @property
    def occurrence_id(self) -> str:
        """The name of this occurrence for ever: key#occurrence."""
        return f"{self.key}#{self.occurrence}"


def alarm_key(resource: Resource, alarm: str, qualifier: str = "") -> str:
    """RFC 8632 identity as one string: "osl-gw1/if/eth0!link-down"."""
    device, table = resource.device, resource.table  # str(resource) would cost as much again
    where = f"{device}/{table}/{resource.row}" if table else device
    return f"{where}!{alarm}:{qualifier}" if qualifier else f"{where}!{alarm}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of an alarm's history: what changed, when, who said so, and why."""

    alarm: str  # key
    occurrence: int
    at: datetime
    what: str  # pending|raised|cleared|severity|acked|unacked|shelved|unshelved|flapping|steady|…
    by: str  # "netopsd" or a person
    why: str
    severity: Severity


class TicketStatus(StrEnum):
    """Trouble ticket states (TMF621 v4)."""

    ACKNOWLEDGED = "acknowledged"
    IN_PROGRESS = "inProgress"
    PENDING = "pending"
    HELD = "held"
    RESOLVED = "resolved"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


FINAL = frozenset({TicketStatus.CLOSED, TicketStatus.CANCELLED, TicketStatus.REJECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Work for a person, one per root cause."""

    id: str  # "TT-000123"
    cause: str  # alarm key
    occurrence: int  # of the alarm when opened
    title: str
    status: TicketStatus
    severity: Severity
    priority: int  # 1 (highest) … 4
    services: tuple[str, ...] = ()  # hurt, sorted
    symptoms: int = 0  # alarms explained by the cause, most ever seen
    opened_at: datetime
    changed_at: datetime
    resolved_at: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketNote:
    """One line of a ticket's history."""

    ticket: str
    at: datetime
    by: str
    text: str
    status: TicketStatus


class Reach(StrEnum):
    """Whether a device answers."""

    NEW = "new"  # not looked at yet
    ANSWERING = "answering"
    SILENT = "silent"  # missed looks, not yet enough to say so
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """What we believe of a device's reachability and its clocks. Stored when `reach` changes."""

    name: str
    reach: Reach = Reach.NEW
    since: datetime | None = None  # of `reach`
    missed: int = 0
    first_missed_at: datetime | None = None
    answered_at: datetime | None = None
    boots: int = 0  # reboots seen
    blind: str = ""  # why the latest look saw nothing


class State(StrEnum):
    """A service's state. Unknown is neither up nor down."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """An interval in which a service was down. Starts at the first failed sample."""

    id: str  # "{service}@{start:%Y%m%dT%H%M%S.%fZ}"
    service: str
    starts: datetime
    ends: datetime | None = None  # first good sample
    uncertainty_s: float = 0.0  # ± this much, from the poll interval
    alarms: tuple[str, ...] = ()  # occurrence ids of the alarms behind it
    excused_s: float = 0.0
    samples: int = 0
    samples_sha256: str = ""  # running hash over "service|at|down" lines, hex
    told: bool = False  # care has been told that it began
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """A service as of `until`: time before that has been accounted for."""

    service: str
    state: State = State.UNKNOWN
    since: datetime
    until: datetime
    outage: str = ""  # id of the open outage


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaPeriod:
    """One service's calendar month, in elapsed seconds (a DST month has 719 or 721 hours)."""

    service: str
    period: str  # "2026-11"
    starts: datetime
    ends: datetime
    target: Decimal
    up_s: float = 0.0
    down_s: float = 0.0  # not excused
    unknown_s: float = 0.0
    excused_s: float = 0.0
    burn_told: int = 0  # highest warning told, per cent
    tiers_broken: int = 0
    broken_below: Decimal | None = None  # of the worst tier broken
    credited: Decimal = Decimal(0)  # share of the fee that the tiers broken come to


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A promise broken: one per service, period and credit tier crossed. Never deleted."""

    id: str  # "{service}/{period}/tier-{n}"
    service: str
    customer: str
    account: str
    period: str
    tier: int  # 1 … ; the n-th of the period: tier n of Service.tiers where they stayed the same
    below: Decimal
    credit_share: Decimal  # of the fee: what this tier adds to the tiers before it
    target: Decimal
    availability: Decimal  # when detected, nine decimals
    down_s: float
    budget_s: float
    detected_at: datetime
    outage: str
    outage_starts: datetime
    alarms: tuple[str, ...]
    samples_sha256: str
    ticket: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Where counting stands for one port of one service: the last counters and the open slot."""

    service: str
    customer: str  # whose the open slot is; "" is not known
    account: str
    handed_over: datetime | None = None  # since then the service is another account's
    resource: Resource
    at: datetime  # of the last good sample
    in_octets: int  # counter then
    out_octets: int
    width: int  # 32 or 64
    speed: float  # of the port then, bits per second; 0 unknown, infinite: more than can be said
    clock_ticks: int | None  # sysUpTime then
    discontinuity: float | None  # ifCounterDiscontinuityTime then
    slot: int  # start of the open slot, epoch seconds, aligned to the usage interval
    slot_in: int = 0
    slot_out: int = 0
    slot_covered_s: float = 0.0
    slot_gaps: tuple[str, ...] = ()
    slot_reconstructed: bool = False
    sequence: int = 0  # of the last record told
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """Octets of one port of one service in one slot. `key` is permanent and unique."""

    key: str  # "{service}|{resource}|octets|{start}|{end}|{revision}"
    service: str
    customer: str
    account: str
    resource: Resource
    starts: datetime
    ends: datetime
    in_octets: int
    out_octets: int
    covered_s: float
    completeness: Decimal  # covered / length, four decimals
    gaps: tuple[str, ...] = ()  # "2026-11-23T10:00:00Z/2026-11-23T10:00:30Z counter reset"
    reconstructed: bool = False  # split from a longer difference
    sequence: int = 0  # per (service, resource), no holes
    revision: int = 0  # another one holds other octets: records of one slot add up
