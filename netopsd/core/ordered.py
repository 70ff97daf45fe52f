"""What was ordered, how far it has come, and what is active because of it (TMF641, TMF638).

All of it survives in the store. Values are frozen; a change is a new value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from netopsd.core.inventory import Inventory, Service
from netopsd.core.model import NotAllowed


class OrderState(StrEnum):
    """States of a service order and of its items (TMF641 v4)."""

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    IN_PROGRESS = "inProgress"
    PENDING = "pending"
    HELD = "held"
    ASSESSING_CANCELLATION = "assessingCancellation"
    PENDING_CANCELLATION = "pendingCancellation"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    FAILED = "failed"
    PARTIAL = "partial"


ENDED = frozenset(
    {
        OrderState.REJECTED,
        OrderState.CANCELLED,
        OrderState.COMPLETED,
        OrderState.FAILED,
        OrderState.PARTIAL,
    }
)


class Action(StrEnum):
    """What an item asks for."""

    ADD = "add"
    MODIFY = "modify"
    DELETE = "delete"


class Step(StrEnum):
    """How far the devices are with one item. The decision stands between PREPARING and DECIDED."""

    WAITING = "waiting"
    PREPARING = "preparing"  # devices may hold it, each with its rollback timer running
    DECIDED = "decided"  # it shall be active, whatever happens now: only forward
    UNDOING = "undoing"  # it shall not be, whatever happens now: only back
    ENDED = "ended"


class Progress(StrEnum):
    """What those who talk to the devices report of an item."""

    BEGUN = "begun"
    DECIDED = "decided"
    CONFIRMED = "confirmed"
    UNDOING = "undoing"
    AGAIN = "again"  # undone everywhere; to be begun once more
    FAILED = "failed"  # undone everywhere, or never begun
    WAITS = "waits"  # a device cannot be reached; it goes on when it can


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One device of a service and the values its template takes there, as text."""

    device: str
    inputs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a device held of a service before an item touched it: XML, "" for nothing."""

    device: str
    config: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an ordered service costs and what caps its credits. Amounts in `currency`."""

    monthly_fee: Decimal
    currency: str
    incident_cap: Decimal | None = None
    monthly_cap: Decimal | None = None
    minimum_credit: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A service order. `id` is given by who orders and makes a repeat harmless."""

    id: str
    description: str = ""
    sha256: str  # of what was ordered
    items: tuple[str, ...]  # their numbers, in the order they are worked on
    state: OrderState = OrderState.ACKNOWLEDGED
    before: str = ""  # the state it was in while its cancellation is assessed
    why: str = ""
    placed_by: str
    placed_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderItem:
    """One service to add, modify or delete.

    `definition` is the service as it shall be monitored, measured and promised (None for a
    delete). `leaving` are endpoints of the service before it that are no more of it.
    """

    order: str
    number: str
    action: Action
    service: str
    template: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    leaving: tuple[Endpoint, ...] = ()
    definition: Service | None = None
    terms: Terms | None = None
    state: OrderState = OrderState.ACKNOWLEDGED
    step: Step = Step.WAITING
    attempt: int = 0
    saved: tuple[Saved, ...] = ()
    why: str = ""
    changed_at: datetime

    @property
    def devices(self) -> tuple[str, ...]:
        """Every device the item touches, sorted: always locked in this order."""
        return tuple(sorted({end.device for end in (*self.endpoints, *self.leaving)}))


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderNote:
    """One line of an order's history. `item` "" speaks of the whole order."""

    order: str
    item: str
    at: datetime
    by: str
    text: str
    state: OrderState


class ServiceLife(StrEnum):
    """Service states (TMF638); those before activation are the order's."""

    ACTIVE = "active"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """A service that is (or was) active because it was ordered."""

    id: str
    state: ServiceLife
    service: Service
    terms: Terms | None
    template: str
    endpoints: tuple[Endpoint, ...]
    order: str  # the latest that changed it
    changed_at: datetime


class Clash(NamedTuple):
    """Why a configuration cannot be, and what to do. `about`: "device" or "service", for the file
    it stands in."""

    about: str
    words: str


def promised(items: Iterable[OrderItem]) -> list[OrderItem]:
    """Return the items that will come into force, whatever happens."""
    return [item for item in items if item.step is Step.DECIDED]


def under_way(items: Iterable[OrderItem]) -> list[OrderItem]:
    """Return the items that are on their way into force, and devices may hold already."""
    return [item for item in items if item.step in (Step.PREPARING, Step.DECIDED)]


def conflicts(
    inventory: Inventory, ordered: Iterable[Ordered], items: Iterable[OrderItem] = ()
) -> list[Clash]:
    """Return why `inventory` cannot stand with the active services among `ordered`, and with what
    `items` make active once their orders are done."""
    found: list[Clash] = []
    for one in ordered:
        if one.state is not ServiceLife.ACTIVE:
            continue
        if one.id in inventory.services:
            words = f"service {one.id!r} was ordered ({one.order}) and is active"
            found.append(Clash("service", f"{words}. Leave it out, or order its deletion first"))
        for device in _lacking(inventory, one.service, one.endpoints):
            words = f"device {device!r} carries service {one.id!r}, ordered by {one.order}"
            found.append(Clash("device", f"{words}. Keep it until the service left it by an order"))
    for item in items:
        if item.definition is None:
            continue
        order = f"order {item.order}, item {item.number}, which is under way"
        if item.service in inventory.services:
            words = f"service {item.service!r} is added by {order}"
            found.append(Clash("service", f"{words}. Leave it out"))
        rests = _lacking(inventory, item.definition, item.endpoints)
        remedy = "Keep it until the order has ended"
        remedy += "" if item.step is Step.DECIDED else ", or cancel the order"
        for device in rests:
            words = f"device {device!r} is to carry service {item.service!r} by {order}"
            found.append(Clash("device", f"{words}. {remedy}"))
    return found


def _lacking(inventory: Inventory, service: Service, endpoints: Iterable[Endpoint]) -> list[str]:
    """Return the devices a service rests on that are not in `inventory`."""
    rests = {end.device for end in endpoints} | {meter.device for meter in service.meters}
    rests |= {resource.device for path in service.paths for resource in path}
    return sorted(rests - set(inventory.devices))


def with_ordered(
    inventory: Inventory, ordered: Mapping[str, Ordered], items: Iterable[OrderItem] = ()
) -> Inventory:
    """Return `inventory` with the active ordered services.

    Raises NotAllowed where it clashes with one, or with one that `items` will make active.
    """
    active = {key: one for key, one in ordered.items() if one.state is ServiceLife.ACTIVE}
    wrong = conflicts(inventory, active.values(), items)
    if wrong:
        raise NotAllowed("; ".join(one.words for one in wrong))
    if not active:
        return inventory
    services = {**inventory.services, **{key: one.service for key, one in active.items()}}
    return replace(inventory, services=services)
