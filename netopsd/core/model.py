"""What the network said, and what people asked for: everything that enters the inbox.

Numbers travel as columns: one look at a device is a `Batch` of `Table`s, one array per metric and
one element per row. All times are aware UTC `datetime`s; durations are seconds. Every value is
frozen; none reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy is slow to import, and a name here needs it not
    import numpy as np
    from numpy.typing import NDArray

    from netopsd.core.fleet import Fleet
    from netopsd.core.inventory import Inventory
    from netopsd.core.ordered import Order, OrderItem, Progress, Saved


class NotAllowed(Exception):
    """What a person asked for does not fit the state it would change; the message says why."""


class Blind(StrEnum):
    """Why a look saw nothing."""

    UNREACHABLE = "unreachable"  # no answer in time: look again later
    REJECTED = "rejected"  # credentials refused: looking harder will not help
    MALFORMED = "malformed"  # answers we could not read
    SKIPPED = "skipped"  # we did not get to it in time: says nothing about the device


class Kind(StrEnum):
    """What the numbers of one column are (SMIv2, RFC 2578 section 7.1)."""

    COUNTER32 = "counter32"
    COUNTER64 = "counter64"
    GAUGE = "gauge"
    STATE = "state"  # an enumerated INTEGER such as ifOperStatus
    TICKS = "ticks"  # hundredths of a second
    TEXT = "text"  # an inventory string; travels as a label or a fact, never as a number


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """A device, or one row of one of its tables (a port, a sensor, a BGP peer)."""

    device: str
    table: str = ""
    row: str = ""

    def __str__(self) -> str:
        return f"{self.device}/{self.table}/{self.row}" if self.table else self.device


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """What the numbers of a table mean. Made once per walk; later looks share it by identity.

    `rows[i]` is the stable name of row i (ifName, else ifDescr, else the index), unique within the
    table and independent of renumbering; `index[i]` its SNMP instance ("10101"). `labels` maps a
    label name to one text per row. `epoch` grows whenever the rows were learnt anew.
    """

    table: str
    rows: tuple[str, ...]
    index: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    counters: tuple[str, ...]  # names of the counter columns, in the order of Table.counters
    widths: tuple[int, ...]  # 32 or 64, one per counter column
    gauges: tuple[str, ...]  # names of the gauge, state and ticks columns, as in Table.gauges
    epoch: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One look at one table.

    `counters` is uint64 of shape (len(layout.counters), len(layout.rows)); `missing` is None where
    every counter was read, else a bool array of that shape, True where it was not. `gauges` is
    float64 of shape (len(layout.gauges), len(layout.rows)), NaN where absent.
    """

    layout: Layout
    counters: NDArray[np.uint64]
    gauges: NDArray[np.float64]
    missing: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The device's own clocks, by which a reboot is told from a wrap. None: not offered."""

    sys_uptime_ticks: int | None = None  # SNMPv2-MIB sysUpTime, 1/100 s, wraps after 497.1 days
    hr_uptime_ticks: int | None = None  # HOST-RESOURCES-MIB hrSystemUptime, 1/100 s
    engine_boots: int | None = None  # SNMP-FRAMEWORK-MIB snmpEngineBoots
    engine_time_s: int | None = None  # snmpEngineTime; negative values are dropped by the collector


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """One look at one device: what it said, or why we saw nothing.

    A batch with `blind` set has no tables. `errors` names the columns that could not be read,
    each with its reason ("if.ifInErrors": "noSuchInstance"); the rest of the batch stands.
    """

    device: str
    at: datetime
    mono_s: float  # monotonic seconds of the same moment: rates divide by differences of this
    took_s: float = 0.0
    tables: tuple[Table, ...] = ()
    clocks: Clocks = Clocks()
    facts: Mapping[str, str] = field(
        default_factory=dict
    )  # sysName, sysDescr, sysObjectID …, as text
    blind: Blind | None = None
    why: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    source: str = "snmp"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sweep:
    """Looks at many devices taken together, each of them complete: nothing unread, nothing new.

    `numbers` (uint64, negative values in two's complement) holds all values of all members of
    `fleet`, which says what each of them is. `present[i]` tells whether member i was seen; what
    `numbers` holds of others means nothing. `when_s[i]` is the monotonic time of its answer, of
    which `at` and `mono_s` are one moment; `took_s[i]` how long it took.
    """

    at: datetime
    mono_s: float
    fleet: Fleet
    present: NDArray[np.bool_]
    when_s: NDArray[np.float64]
    took_s: NDArray[np.float64]
    numbers: NDArray[np.uint64]
    source: str = "snmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One trap, inform or notification, already decoded.

    `name` is the notification's OID ("1.3.6.1.6.3.1.1.5.3") or YANG name. `values` maps OIDs or
    leaf names to text. `device` is the configured device the source maps to, "" where none does.
    `authenticated` is True only for SNMPv3 with authentication and for NETCONF: a v1 or v2c trap
    may raise an alarm and never clears one (UDP source is not identity).
    """

    at: datetime
    device: str
    source: str  # address it came from
    name: str
    values: Mapping[str, str] = field(default_factory=dict)
    authenticated: bool = False
    confirmed: bool = False  # an inform: acknowledged once its row is durable
    count: int = 1  # equal events folded into one by the listener
    # What an authenticated source that keeps alarms itself (ietf-alarms, RFC 8632) says of one:
    alarm: str = ""  # alarm type id; "" leaves it to the rules
    resource: Resource | None = None
    severity: str = ""  # a perceived severity, "cleared" included
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Events:
    """Events that arrived together: judged in order, committed at once."""

    at: datetime
    items: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. Sent once a second; holds, timeouts and boundaries are judged by it."""

    at: datetime
    mono_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """A person has seen an alarm (or takes that back)."""

    at: datetime
    by: str
    alarm: str
    undo: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelve:
    """A person does not want to hear of an alarm until `until`; None unshelves."""

    at: datetime
    by: str
    alarm: str
    until: datetime | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketAct:
    """A person moves a ticket (`status`, a TMF621 word) or adds a note."""

    at: datetime
    by: str
    ticket: str
    status: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconfigured:
    """The operator's configuration changed; it was validated whole before it came here."""

    at: datetime
    inventory: Inventory


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """Somebody orders services. Placing the same order again is accepted and adds nothing."""

    at: datetime
    by: str
    order: Order
    items: tuple[OrderItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderProgress:
    """What became of one item of an order on its devices.

    `attempt` is the attempt it speaks of. `saved` is what the devices held before (with BEGUN).
    `remarks` are things people should know, such as that a device could do no confirmed commit.
    """

    at: datetime
    order: str
    item: str
    what: Progress
    attempt: int
    why: str = ""
    saved: tuple[Saved, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAct:
    """Somebody cancels, holds or resumes an order."""

    at: datetime
    by: str
    order: str
    what: str  # cancel | hold | resume
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """How a device differs from what an active service was ordered to be; no lines: not at all."""

    at: datetime
    service: str
    device: str
    lines: tuple[str, ...] = ()


Input = (
    Batch
    | Sweep
    | Events
    | Tick
    | Acknowledge
    | Shelve
    | TicketAct
    | Reconfigured
    | PlaceOrder
    | OrderProgress
    | OrderAct
    | Drifted
)
