"""What one input changes, and who must hear of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from netopsd.core.beliefs import (
    Alarm,
    Change,
    DeviceState,
    Meter,
    Outage,
    ServiceState,
    SlaPeriod,
    Ticket,
    TicketNote,
    UsageRecord,
    Violation,
)
from netopsd.core.index import Index
from netopsd.core.inventory import Inventory
from netopsd.core.model import Event
from netopsd.core.ordered import Order, Ordered, OrderItem, OrderNote


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmNotice:
    """An alarm people should know of was raised, changed or cleared."""

    alarm: Alarm
    what: str  # raised | cleared | changed
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketNotice:
    """A ticket was opened or moved."""

    ticket: Ticket
    what: str  # opened | updated | resolved | reopened | closed | cancelled | rejected
    at: datetime
    by: str = "netopsd"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageNotice:
    """A customer's service went down or came back."""

    outage: Outage
    customer: str
    account: str
    service_name: str
    zone: str
    what: str  # started | ended
    at: datetime
    ticket: str = ""
    cause: str = ""
    planned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetNotice:
    """A service used up `burn` per cent of its downtime budget."""

    period: SlaPeriod
    customer: str
    account: str
    burn: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ViolationNotice:
    """A promise was broken."""

    violation: Violation
    outage: Outage
    zone: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageNotice:
    """A slot of usage is complete."""

    record: UsageRecord
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderNotice:
    """A service order was placed or moved."""

    order: Order
    items: tuple[OrderItem, ...]
    what: str  # created | changed
    at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNotice:
    """A service that was ordered became active, changed or ended."""

    ordered: Ordered
    what: str  # activated | changed | terminated
    at: datetime


Notice = (
    AlarmNotice
    | TicketNotice
    | OutageNotice
    | BudgetNotice
    | ViolationNotice
    | UsageNotice
    | OrderNotice
    | ServiceNotice
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """Look at `device` again in `after_s` seconds; the poll decides."""

    device: str
    after_s: float


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one input (or one group of inputs) changes. Later values of a key replace earlier ones.

    `alarms` … `violations` are written by the store. `events` are the traps to keep as history.
    `private` maps the name of a shelf of the world that is not stored (the last looks, indexes) to
    its changes. `inventory` is the new configuration where the input brought one. `activate` names
    orders to be worked on now.
    """

    alarms: dict[str, Alarm] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    ticket_notes: list[TicketNote] = field(default_factory=list)
    devices: dict[str, DeviceState] = field(default_factory=dict)
    services: dict[str, ServiceState] = field(default_factory=dict)
    outages: dict[str, Outage] = field(default_factory=dict)
    periods: dict[tuple[str, str], SlaPeriod] = field(default_factory=dict)  # (service, period)
    violations: dict[str, Violation] = field(default_factory=dict)
    meters: dict[tuple[str, str], Meter] = field(default_factory=dict)  # (service, str(resource))
    meters_gone: list[tuple[str, str]] = field(default_factory=list)
    usage: list[UsageRecord] = field(default_factory=list)
    sequences: dict[str, int] = field(default_factory=dict)  # "ticket" → the last number given
    events: list[Event] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    order_items: dict[tuple[str, str], OrderItem] = field(default_factory=dict)  # (order, number)
    order_notes: list[OrderNote] = field(default_factory=list)
    ordered: dict[str, Ordered] = field(default_factory=dict)  # by service id
    activate: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    verify: list[Verify] = field(default_factory=list)
    private: dict[str, dict[Any, Any]] = field(default_factory=dict)
    inventory: Inventory | None = None
    index: Index | None = None  # drawn from `inventory`, where that was done already


@dataclass(slots=True, kw_only=True)
class Beliefs:
    """What the store gives back at start: the latest value of everything that is not history.

    Only outages still open, the periods of the current and previous month and the latest outage of
    each service that was down in them, tickets that are not final, items of orders that have not
    ended, and alarms, orders and ordered services of any state are loaded; history stays in the
    database.
    """

    alarms: dict[str, Alarm] = field(default_factory=dict)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    devices: dict[str, DeviceState] = field(default_factory=dict)
    services: dict[str, ServiceState] = field(default_factory=dict)
    outages: dict[str, Outage] = field(default_factory=dict)
    periods: dict[tuple[str, str], SlaPeriod] = field(default_factory=dict)
    meters: dict[tuple[str, str], Meter] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    order_items: dict[tuple[str, str], OrderItem] = field(default_factory=dict)
    ordered: dict[str, Ordered] = field(default_factory=dict)
