"""What the HTTP API and /metrics see: the committed world from memory, history from the store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from netopsd.core import sla
from netopsd.core.beliefs import (
    Alarm,
    Change,
    DeviceState,
    Phase,
    Reach,
    Severity,
    SlaPeriod,
    Ticket,
    TicketNote,
    TicketStatus,
    UsageRecord,
)
from netopsd.core.inventory import Device, Service
from netopsd.core.ordered import ENDED, Order, OrderItem, OrderNote, OrderState
from netopsd.core.world import World
from netopsd.ports import Clock
from netopsd.store.read import Reader, Span
from netopsd.web.reads import Readiness

WAITING = frozenset({OrderState.PENDING, OrderState.PENDING_CANCELLATION})


class Believed:
    """The world as of the last commit (web.reads.Now). Reads only; no call waits."""

    def __init__(self, world: World, clock: Clock, opened: Callable[[], bool]) -> None:
        self._world = world
        self._clock = clock
        self._opened = opened

    def readiness(self) -> Readiness:
        looked = sum(1 for _ in self._world.looks.items()) + sum(
            1 for _, state in self._world.devices.items() if state.missed
        )
        asked = any(device.sources for device in self._world.inventory.devices.values())
        some = looked > 0 or not asked  # nobody to look at: nothing to wait for
        return Readiness(checks={"store": self._opened(), "first looks": some})

    def alarms(self) -> Sequence[Alarm]:
        told = self._world.told.own
        return [told.get(key) or alarm for key, alarm in self._world.alarms.items()]

    def alarm(self, key: str) -> Alarm | None:
        return self._world.alarm(key)

    def devices(self) -> Sequence[tuple[Device, DeviceState | None]]:
        return [
            (device, self._world.devices.get(name))
            for name, device in self._world.inventory.devices.items()
        ]

    def sla(self) -> Sequence[tuple[Service, SlaPeriod]]:
        known = self._world.inventory.services
        return [(known[s], period) for (s, _), period in self._world.periods.items() if s in known]

    def current(self) -> Iterator[tuple[Service, SlaPeriod]]:
        """Give each service's account of the present month, one by one: there may be many."""
        now = self._clock.now()
        for service in tuple(self._world.inventory.services.values()):
            yield service, sla.period_of(self._world, service, now)

    def active_alarms(self) -> Mapping[str, float]:
        """Return how many alarms are active, by perceived severity."""
        counts: Counter[str] = Counter({str(s): 0 for s in Severity if s is not Severity.CLEARED})
        for _, alarm in self._world.alarms.items():
            if alarm.phase is Phase.ACTIVE:
                counts[alarm.severity.value] += 1
        return counts

    def tickets(self) -> Mapping[str, float]:
        """Return how many tickets there are in each status that is not final."""
        counts: Counter[str] = Counter({status.value: 0 for status in TicketStatus})
        for _, ticket in self._world.tickets.items():
            counts[ticket.status.value] += 1
        return counts

    def orders(self) -> Mapping[str, float]:
        """Return how many service orders there are in each state that is not final."""
        counts: Counter[str] = Counter({s.value: 0 for s in OrderState if s not in ENDED})
        counts.update(order.state.value for order in self._open_orders())
        return counts

    def order_pending_s(self) -> float:
        """Return for how long an order waits for a device, the longest; 0 where none does."""
        waiting = [o.changed_at for o in self._open_orders() if o.state in WAITING]
        return max(0.0, (self._clock.now() - min(waiting)).total_seconds()) if waiting else 0.0

    def _open_orders(self) -> list[Order]:
        # By the items, which leave with the end of their order: orders that ended are many.
        names = {order for (order, _), _ in self._world.order_items.items()}
        return [order for name in names if (order := self._world.orders.get(name)) is not None]

    def unreachable(self) -> int:
        """Return how many devices are known unreachable."""
        return sum(1 for _, d in self._world.devices.items() if d.reach is Reach.UNREACHABLE)

    def last_tick(self) -> datetime | None:
        return self._world.moments.get("tick")


class History:
    """What the store remembers (web.reads.Kept), read beside the event loop."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def changes(self, alarm: str, limit: int, offset: int) -> Sequence[Change]:
        most = limit + offset
        found = await asyncio.to_thread(self._reader.changes, alarm=alarm, limit=most)
        return found[offset:]

    async def tickets(
        self, statuses: Sequence[TicketStatus], limit: int, offset: int
    ) -> Sequence[Ticket]:
        most = limit + offset
        found = await asyncio.to_thread(self._reader.tickets, statuses=statuses, limit=most)
        return found[offset:]

    async def ticket(self, id: str) -> Ticket | None:
        return await asyncio.to_thread(self._reader.ticket, id)

    async def notes(self, ticket: str) -> Sequence[TicketNote]:
        found = await asyncio.to_thread(self._reader.notes, ticket)
        return found[::-1]

    async def usage(
        self, service: str, since: datetime | None, limit: int, offset: int
    ) -> Sequence[UsageRecord]:
        most = limit + offset
        span = Span(since=since)
        found = await asyncio.to_thread(self._reader.usage, service=service, span=span, limit=most)
        return found[offset:]

    async def orders(
        self, states: Sequence[OrderState], limit: int, offset: int
    ) -> Sequence[Order]:
        most = limit + offset
        found = await asyncio.to_thread(self._reader.orders, states=states, limit=most)
        return found[offset:]

    async def order(self, id: str) -> Order | None:
        found = await asyncio.to_thread(self._reader.orders, id=id or "\0", limit=1)
        return found[0] if found else None

    async def order_items(self, id: str) -> Sequence[OrderItem]:
        return await asyncio.to_thread(self._reader.order_items, id)

    async def order_notes(self, id: str) -> Sequence[OrderNote]:
        found = await asyncio.to_thread(self._reader.order_notes, id)
        return found[::-1]
