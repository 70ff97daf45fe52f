"""Everything we believe right now, and how a draft of the next belief is laid over it.

`decide` works on a draft: reads fall through to the world below, writes land in an `Outcome`.
Nothing below changes until `apply`, so an input that fails leaves no trace, and a group of inputs
can be judged one after the other and still be committed as one.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, TypeVar

from netopsd.core.beliefs import (
    FINAL,
    Alarm,
    DeviceState,
    Meter,
    Outage,
    ServiceState,
    SlaPeriod,
    State,
    Ticket,
)
from netopsd.core.fleet import Fleet
from netopsd.core.index import Index
from netopsd.core.inventory import Inventory
from netopsd.core.looks import Look, Rows, SweepLook, Swept
from netopsd.core.model import Resource
from netopsd.core.ordered import ENDED, Order, Ordered, OrderItem, with_ordered
from netopsd.core.outcome import Beliefs, Outcome

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shelf(Generic[K, V]):
    """A mapping laid over another one. Writing never touches what lies below."""

    __slots__ = ("own", "under")

    def __init__(self, own: dict[K, V], under: Shelf[K, V] | None = None) -> None:
        self.own = own
        self.under = under

    def get(self, key: K) -> V | None:
        shelf: Shelf[K, V] | None = self
        while shelf is not None:
            own = shelf.own
            if key in own:  # cheaper than own.get, and mostly it is not
                return own[key]
            shelf = shelf.under
        return None

    def __getitem__(self, key: K) -> V:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self.own[key] = value

    def items(self) -> Iterator[tuple[K, V]]:
        """Each key once, with its topmost value."""
        if self.under is None:
            return iter(self.own.items())
        return self._laid_over(self.under) if self.own else self.under.items()

    def _laid_over(self, under: Shelf[K, V]) -> Iterator[tuple[K, V]]:
        own = self.own
        yield from own.items()
        for key, value in under.items():
            if key not in own:
                yield key, value

    def __len__(self) -> int:
        return sum(1 for _ in self.items()) if self.under is not None else len(self.own)


@dataclass(frozen=True, slots=True)
class ResourceState:
    """A resource some service rests on: its state since `since`, last confirmed at `seen_at`."""

    state: State
    since: datetime
    seen_at: datetime
    why: str = ""


Chain = tuple[()] | tuple[str, str, "Chain"]

STORED = (
    *("alarms", "tickets", "devices", "services", "outages", "periods", "meters", "sequences"),
    *("orders", "order_items", "ordered"),
)
VOLATILE = (
    "pending",  # alarm key → Alarm not yet held long enough
    "waiting",  # device → keys of its pending alarms
    "looks",  # device → Look, or its place in the latest sweep; `World.look` gives the look
    "sweeps",  # Fleet → SweepLook, the latest of most of its devices
    "by_device",  # device → frozenset of uncleared alarm keys
    "symptoms",  # root alarm key → frozenset of alarm keys it explains
    "ticket_of",  # alarm key → id of its ticket that is not final
    "due",  # epoch second → (what, key) and those put before it, newest first
    "states",  # Resource → ResourceState
    "running",  # (service, resource) → Meter, newer than the stored one
    "raw",  # key of a flapping alarm → "bad" or "good", as last seen
    "told",  # alarm key → active Alarm, told of more often than the stored one knows
    "moments",  # name → datetime: "answer" (anyone's latest), "tick", "rejoined" …
    "ended",  # service → Outage, its latest one that is over
)
_stored = attrgetter(*STORED)
_shelves = attrgetter(*STORED, *VOLATILE)


@dataclass(slots=True, eq=False)
class World:
    """Everything we believe. Only `apply` changes a world that is not a draft.

    Its shelves stand in the order of `STORED` and `VOLATILE`.
    """

    inventory: Inventory
    index: Index
    alarms: Shelf[str, Alarm]
    tickets: Shelf[str, Ticket]
    devices: Shelf[str, DeviceState]
    services: Shelf[str, ServiceState]
    outages: Shelf[str, Outage]
    periods: Shelf[tuple[str, str], SlaPeriod]
    meters: Shelf[tuple[str, str], Meter]
    sequences: Shelf[str, int]
    orders: Shelf[str, Order]
    order_items: Shelf[tuple[str, str], OrderItem]  # of orders that have not ended
    ordered: Shelf[str, Ordered]
    pending: Shelf[str, Alarm | tuple[()]]
    waiting: Shelf[str, tuple[str, ...]]
    looks: Shelf[str, Look | Swept]
    sweeps: Shelf[Fleet, SweepLook]
    by_device: Shelf[str, frozenset[str]]
    symptoms: Shelf[str, frozenset[str]]
    ticket_of: Shelf[str, str]
    due: Shelf[int, Chain]
    states: Shelf[Resource, ResourceState]
    running: Shelf[tuple[str, str], Meter | tuple[()]]
    raw: Shelf[str, str]
    told: Shelf[str, Alarm | tuple[()]]
    moments: Shelf[str, datetime]
    ended: Shelf[str, Outage]
    out: Outcome = field(default_factory=Outcome)
    touched: list[str] = field(default_factory=list)  # alarms this input changed

    def alarm(self, key: str) -> Alarm | None:
        """Return an alarm as it is now, stored like that or not yet."""
        return self.told.get(key) or self.alarms.get(key)

    def look(self, device: str) -> Look | None:
        """Return what is known of a device from its latest looks."""
        known = self.looks.get(device)
        return known.look(self.sweep_of(known)) if isinstance(known, Swept) else known

    def seen_at(self, device: str) -> datetime | None:
        """Return when a device was last seen."""
        known = self.looks.get(device)
        if isinstance(known, Swept):
            return known.at(self.sweep_of(known))
        return known.at if known is not None else None

    def rows(self, device: str, table: str) -> Rows | None:
        """Return the rows of a table of a device, None where it was not read."""
        known = self.looks.get(device)
        if isinstance(known, Swept):
            return known.rows(self.sweep_of(known), table)
        return known.rows(table) if known is not None else None

    def sweep_of(self, known: Swept) -> SweepLook:
        """Return the sweep a device was seen in last."""
        if known.pinned is not None:
            return known.pinned
        now = self.sweeps[known.fleet]
        return now if now.before is None or known.i <= now.upto else now.before

    def draft(self) -> World:
        """Return a world that reads like this one and writes into its own `out`."""
        out = Outcome()
        out.private = {name: {} for name in VOLATILE}
        own = (*_stored(out), *out.private.values())
        shelves: Any = map(Shelf, own, _shelves(self))
        make: Any = World  # fifty names would say no more than their order does
        draft: World = make(self.inventory, self.index, *shelves, out)
        return draft

    def apply(self, outcome: Outcome) -> None:
        """Believe `outcome`. On a draft this merges it into the draft's own outcome."""
        base = self.alarms.under is None
        sweeping = base and (self.sweeps.own or outcome.private.get("sweeps"))
        stirred = self._stirred(outcome) if sweeping else ()
        moved = outcome.inventory is not None and self._adopt(outcome.inventory, outcome.index)
        for name, changed in zip(STORED, _stored(outcome), strict=True):
            if changed:
                getattr(self, name).own.update(changed)
        for name, changed in outcome.private.items():
            if not changed:
                continue
            own = getattr(self, name).own
            own.update(changed)
            if base and not all(changed.values()):
                for key, value in changed.items():
                    if not value:
                        del own[key]
        if base:
            self._part(stirred, outcome.private.get("sweeps", ()))
            self._forget(outcome, moved)
        else:
            _merge_lists(self.out, outcome)

    def _stirred(self, outcome: Outcome) -> list[tuple[str, Look | Swept | None]]:
        """Return the devices something happens to, and what was known of them until now."""
        names = set(outcome.devices)
        for shelf in ("looks", "waiting", "by_device"):
            names.update(outcome.private.get(shelf, ()))
        return [(name, self.looks.own.get(name)) for name in names]

    def _part(
        self, stirred: Iterable[tuple[str, Look | Swept | None]], fresh: Collection[Fleet] = ()
    ) -> None:
        """Let the sweeps know what happened to members, and who is in them no more.

        `fresh` are the fleets seen meanwhile, in which somebody may have been in between.
        """
        left = set(fresh)
        for name, was in stirred:
            now = self.looks.own.get(name)
            fleets = {one.fleet for one in (was, now) if isinstance(one, Swept) and not one.pinned}
            fleets.update(fleet for fleet in fresh if name in fleet.index)
            for fleet in fleets:
                sweep = self.sweeps.own.get(fleet)
                if sweep is None:
                    continue
                i = fleet.index[name]
                sweep.quiet[i] = False
                if not isinstance(now, Swept) or (now.fleet, now.pinned) != (fleet, None):
                    sweep.joined[i] = False
                    left.add(fleet)
        for fleet in left:
            sweep = self.sweeps.own.get(fleet)
            if sweep is not None and not sweep.joined.any():
                del self.sweeps.own[fleet]

    def _adopt(self, inventory: Inventory, index: Index | None) -> bool:
        """Take on a new inventory; return whether it brought other devices, too."""
        moved = inventory.devices is not self.inventory.devices
        self.inventory, self.index = inventory, index or Index.of(inventory)
        return moved

    def _forget(self, outcome: Outcome, moved: bool) -> None:
        """Drop from memory what only the database needs to remember."""
        if moved:
            self._forget_devices()
        for ticket in outcome.tickets.values():
            if ticket.status in FINAL:
                self.tickets.own.pop(ticket.id, None)
        for outage in outcome.outages.values():
            if outage.ends is not None:
                self.outages.own.pop(outage.id, None)
        for key in outcome.meters_gone:
            self.meters.own.pop(key, None)
        for order in outcome.orders.values():
            if order.state in ENDED:
                for number in order.items:
                    self.order_items.own.pop((order.id, number), None)

    def _forget_devices(self) -> None:
        """Drop what was seen of devices that are no longer watched."""
        devices = self.inventory.devices
        gone_looks = [(name, was) for name, was in self.looks.own.items() if name not in devices]
        for shelf in (self.looks.own, self.waiting.own):
            for name in [name for name in shelf if name not in devices]:
                del shelf[name]
        self._part(gone_looks)
        for resource in [r for r in self.states.own if r.device not in devices]:
            del self.states.own[resource]
        gone = [k for k, a in self.pending.own.items() if a and a.resource.device not in devices]
        for key in gone:
            del self.pending.own[key]

    @staticmethod
    def of(inventory: Inventory, beliefs: Beliefs | None = None) -> World:
        """Return a world holding `beliefs`; `restore` is what draws its indexes.

        Raises NotAllowed where an ordered service and `inventory` clash.
        """
        beliefs = beliefs or Beliefs()
        inventory = with_ordered(inventory, beliefs.ordered)
        shelves: dict[str, Any] = {name: Shelf(dict(getattr(beliefs, name))) for name in STORED}
        shelves |= {name: Shelf({}) for name in VOLATILE}
        return World(inventory=inventory, index=Index.of(inventory), **shelves)


def _merge_lists(into: Outcome, more: Outcome) -> None:
    into.changes += more.changes
    into.ticket_notes += more.ticket_notes
    into.violations.update(more.violations)
    into.meters_gone += more.meters_gone
    into.usage += more.usage
    into.events += more.events
    into.order_notes += more.order_notes
    into.activate += more.activate
    into.notices += more.notices
    into.verify += more.verify
    if more.inventory is not None:
        into.inventory, into.index = more.inventory, more.index
