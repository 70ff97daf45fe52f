"""What the API needs from the rest of the house: beliefs to show, and ways to act on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from netopsd.core.beliefs import (
    Alarm,
    Change,
    DeviceState,
    SlaPeriod,
    Ticket,
    TicketNote,
    TicketStatus,
    UsageRecord,
)
from netopsd.core.inventory import Device, Service
from netopsd.core.model import Input
from netopsd.core.ordered import Order, OrderItem, OrderNote, OrderState
from netopsd.ports import Difference, Pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether the daemon does its work. `checks` names each condition and whether it holds."""

    checks: Mapping[str, bool]

    @property
    def ready(self) -> bool:
        return all(self.checks.values())


class Now(Protocol):
    """What is believed now, from memory: no call waits. Every result is the caller's own."""

    def readiness(self) -> Readiness: ...

    def alarms(self) -> Sequence[Alarm]:
        """Return every alarm known, in any phase."""
        ...

    def alarm(self, key: str) -> Alarm | None: ...

    def devices(self) -> Sequence[tuple[Device, DeviceState | None]]: ...

    def sla(self) -> Sequence[tuple[Service, SlaPeriod]]:
        """Return the periods kept in memory: each service's current month and the one before."""
        ...


class Kept(Protocol):
    """What the store remembers. Raises StoreBroken where it cannot say."""

    async def changes(self, alarm: str, limit: int, offset: int) -> Sequence[Change]:
        """Return an alarm's history, newest first; alarm "" means of all alarms."""
        ...

    async def tickets(
        self, statuses: Sequence[TicketStatus], limit: int, offset: int
    ) -> Sequence[Ticket]:
        """Return tickets in any of `statuses` (none given: all), newest first."""
        ...

    async def ticket(self, id: str) -> Ticket | None: ...

    async def notes(self, ticket: str) -> Sequence[TicketNote]:
        """Return a ticket's notes, oldest first."""
        ...

    async def usage(
        self, service: str, since: datetime | None, limit: int, offset: int
    ) -> Sequence[UsageRecord]:
        """Return usage records that start at `since` or later, newest first; "": all services."""
        ...

    async def orders(
        self, states: Sequence[OrderState], limit: int, offset: int
    ) -> Sequence[Order]:
        """Return orders in any of `states` (none given: all), newest first."""
        ...

    async def order(self, id: str) -> Order | None: ...

    async def order_items(self, id: str) -> Sequence[OrderItem]: ...

    async def order_notes(self, id: str) -> Sequence[OrderNote]:
        """Return an order's notes, oldest first."""
        ...


class Orders(Protocol):
    """The desk that takes service orders. `document` is an order file's content."""

    async def place(self, document: Mapping[str, Any], by: str) -> str:
        """Take an order in, durably; return its id. Raises NotAllowed, in words."""
        ...

    async def compare(self, document: Mapping[str, Any]) -> Sequence[tuple[str, str, Difference]]:
        """Return (item, service, difference) for each device; raises as `place` does."""
        ...


class Messages(Protocol):
    """The part of `ports.Outbox` that people use."""

    async def pending(self, limit: int = 1000) -> Sequence[Pending]: ...

    async def park(self, id: int, reason: str) -> None: ...

    async def retry(self, id: int, now: datetime) -> bool: ...


class Acts(Protocol):
    """The part of `ports.Inbox` that people use."""

    async def durable(self, said: Input) -> None:
        """Return once `said` is decided and committed. Raises NotAllowed and NotJudged."""
        ...
