"""Carries out service orders: forward while nothing speaks against it, back where anything does.

What each item is to become is decided in the core and durable before any device is told to keep
it. So whoever starts anew after a crash reads where every item stands and goes on from there: back
from PREPARING and UNDOING, forward from DECIDED.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from netopsd.core.model import Drifted, NotAllowed, OrderProgress
from netopsd.core.ordered import (
    ENDED,
    Action,
    Order,
    Ordered,
    OrderItem,
    OrderState,
    Progress,
    ServiceLife,
    Step,
)
from netopsd.core.world import World
from netopsd.errors import CannotActivate, NotJudged
from netopsd.ports import Activation, Activator, Clock, Inbox

log = logging.getLogger(__name__)

INTERRUPTED = "netopsd ended in the middle of it"
STEPS = ("look", "prepare", "confirm", "undo")
AFTER_BUG_S = 60.0
ATTEMPTS = 2  # one more after an interruption; what a device refused is not tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many orders at once, and how long to wait. Seconds; drift 0 looks for none."""

    at_once: int = 4
    retry_s: float = 5.0
    drift_every_s: float = 300.0


@dataclass(slots=True)
class ActivationStats:
    """Plain counts since start, for the metrics."""

    ended: dict[str, int] = field(
        default_factory=lambda: {"completed": 0, "failed": 0}
    )  # items, by state
    steps: dict[tuple[str, str], int] = field(  # by step of an item on all its devices, and result
        default_factory=lambda: {(s, how): 0 for s in STEPS for how in ("done", "failed")}
    )
    drift_checks: int = 0
    drifting: int = 0  # differences found by the latest round

    def drift(self) -> tuple[int, int]:
        """Return how often a device was compared, and how many differed in the latest round."""
        return self.drift_checks, self.drifting


class Activations:
    """Works on the open orders of `world`; two that share a device one after the other."""

    def __init__(
        self,
        world: World,
        inbox: Inbox,
        activator: Callable[[], Activator],
        clock: Clock,
        pace: Pace,
    ) -> None:
        self.stats = ActivationStats()
        self._world = world
        self._inbox = inbox
        self._activator = activator  # asked anew each time: a reload may have changed it
        self._clock = clock
        self.pace = pace
        self._busy: dict[str, frozenset[str]] = {}  # order → its devices
        self._wake = asyncio.Event()
        self._told: dict[tuple[str, str], tuple[datetime, tuple[str, ...]]] = {}

    @property
    def busy(self) -> int:
        """How many orders are being worked on."""
        return len(self._busy)

    def nudge(self) -> None:
        """Say that there may be an order to work on."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled: first on what was open, then on what comes."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_drift(), name="drift")
            while True:
                self._wake.clear()
                for order, devices in self._startable():
                    self._busy[order.id] = devices
                    group.create_task(self._work(order.id), name=f"order {order.id}")
                await self._wake.wait()

    def _startable(self) -> Iterator[tuple[Order, frozenset[str]]]:
        """Yield orders to begin now, the oldest first; none overtakes another on its devices."""
        taken: set[str] = set().union(*self._busy.values())
        names = {order_id for (order_id, _), _ in self._world.order_items.items()}
        waiting = [one for name in names if (one := self._world.orders.get(name)) is not None]
        for order in sorted(waiting, key=lambda one: (one.placed_at, one.id)):
            if order.id in self._busy or order.state is OrderState.HELD:
                continue
            devices = frozenset(d for item in self._items(order) for d in item.devices)
            if len(self._busy) < self.pace.at_once and not devices & taken:
                yield order, devices
            taken |= devices

    def _items(self, order: Order) -> Iterator[OrderItem]:
        for number in order.items:
            item = self._world.order_items.get((order.id, number))
            if item is not None and item.state not in ENDED:
                yield item

    async def _work(self, order_id: str) -> None:
        try:
            while (item := self._next(order_id)) is not None:
                await self._try(item)
        finally:
            self._busy.pop(order_id, None)
            self._wake.set()

    async def _try(self, item: OrderItem) -> None:
        """Go on with an item from where it is believed to be; what fails here fails it alone."""
        try:
            await self._item(item)
        except NotAllowed as moved:
            # Cancelled while a device was asked: the beliefs say what is to be done now.
            log.info("order %s item %s: %s", item.order, item.number, moved)
            if self._next(item.order) == item:
                await self._clock.sleep(self.pace.retry_s)
        except NotJudged:
            log.error("order %s item %s is not noted; it is tried again", item.order, item.number)
            await self._clock.sleep(AFTER_BUG_S)
        except Exception:
            # The third of the broad catches: an order that trips a bug of ours must not end the
            # watch over everything else, and do it again after each start.
            log.exception("order %s item %s failed in an unknown way", item.order, item.number)
            await self._clock.sleep(AFTER_BUG_S)

    def _next(self, order_id: str) -> OrderItem | None:
        """Return the item to work on, None where the order has ended or is held."""
        order = self._world.orders.get(order_id)
        if order is None or order.state in ENDED or order.state is OrderState.HELD:
            return None
        return next(self._items(order), None)

    async def _item(self, item: OrderItem) -> None:
        """Bring one item one way: to its end, or to where it is begun once more."""
        fresh = item.step is Step.WAITING
        item = replace(item, attempt=item.attempt + 1) if fresh else item
        try:
            activation = self._activator().open(item)
        except NotAllowed as error:
            await self._cannot_open(item, str(error))
            return
        try:
            if fresh:
                await self._forward(item, activation)
            elif item.step is Step.DECIDED:
                await self._keep(item, activation)
            else:
                if item.step is Step.PREPARING:
                    await self._report(item, Progress.UNDOING, INTERRUPTED)
                why = INTERRUPTED if item.step is Step.PREPARING else item.why
                await self._back(item, activation, why)
        finally:
            await activation.close()

    async def _cannot_open(self, item: OrderItem, why: str) -> None:
        """The template or the device is no longer configured: an order not begun fails."""
        if item.step is Step.WAITING:
            await self._report(replace(item, attempt=item.attempt - 1), Progress.FAILED, why)
            return
        if item.step is Step.PREPARING:
            await self._report(item, Progress.UNDOING, INTERRUPTED)
        await self._report(item, Progress.WAITS, why)
        await self._clock.sleep(self.pace.retry_s)

    async def _forward(self, item: OrderItem, activation: Activation) -> None:
        before = replace(item, attempt=item.attempt - 1)
        try:
            with self._counting("look"):
                saved, remarks = await activation.look()
        except CannotActivate as error:
            await self._report(before, Progress.FAILED, str(error))
            return
        said = self._said(item, Progress.BEGUN, "")
        try:
            await self._inbox.durable(replace(said, saved=saved, remarks=remarks))
        except NotAllowed as refused:
            if self._next(item.order) == before:  # neither held nor cancelled: it never can begin
                await self._report(before, Progress.FAILED, str(refused))
            return
        why = ""
        try:
            with self._counting("prepare"):
                await activation.prepare()
        except CannotActivate as error:
            why = str(error)
        if not why:
            try:
                # The decision. Until this returns nobody may be told to keep anything; after it,
                # whatever happens, everybody will be.
                await self._inbox.durable(self._said(item, Progress.DECIDED, ""))
            except NotAllowed as refused:
                why = str(refused)
        if why:
            await self._report(item, Progress.UNDOING, why)
            await self._back(item, activation, why)
        else:
            await self._keep(item, activation)

    async def _keep(self, item: OrderItem, activation: Activation) -> None:
        """Make it stay everywhere; wait for whoever cannot be asked now."""
        while True:
            try:
                with self._counting("confirm"):
                    remarks = await activation.confirm()
            except CannotActivate as error:
                await self._report(item, Progress.WAITS, str(error))
                await self._clock.sleep(self.pace.retry_s)
                continue
            await activation.close()  # an order that has ended holds no lock
            await self._report(item, Progress.CONFIRMED, "", remarks)
            return

    async def _back(self, item: OrderItem, activation: Activation, why: str) -> None:
        """Undo it everywhere; wait for whoever cannot be asked now."""
        while True:
            try:
                with self._counting("undo"):
                    remarks = await activation.undo()
            except CannotActivate as error:
                # `why` decides what follows the undoing, so it comes first.
                await self._report(item, Progress.WAITS, f"{why}; waiting for {error}")
                await self._clock.sleep(self.pace.retry_s)
                continue
            await activation.close()
            order = self._world.orders.get(item.order)
            cancelled = order is not None and order.state is OrderState.PENDING_CANCELLATION
            again = why.startswith(INTERRUPTED) and item.attempt < ATTEMPTS and not cancelled
            await self._report(item, Progress.AGAIN if again else Progress.FAILED, why, remarks)
            return

    @contextmanager
    def _counting(self, step: str) -> Iterator[None]:
        """Count how a step ended. One that was cut off by our own end did neither."""
        try:
            yield
        except CannotActivate:
            self.stats.steps[step, "failed"] += 1
            raise
        self.stats.steps[step, "done"] += 1

    def _said(self, item: OrderItem, what: Progress, why: str) -> OrderProgress:
        return OrderProgress(
            at=self._clock.now(),
            order=item.order,
            item=item.number,
            what=what,
            attempt=item.attempt,
            why=why,
        )

    async def _report(
        self, item: OrderItem, what: Progress, why: str, remarks: tuple[str, ...] = ()
    ) -> None:
        await self._inbox.durable(replace(self._said(item, what, why), remarks=remarks))
        if what in (Progress.CONFIRMED, Progress.FAILED):
            word = "completed" if what is Progress.CONFIRMED else "failed"
            self.stats.ended[word] += 1
            log.info("order %s item %s: %s %s", item.order, item.number, word, why)

    # ---- drift

    async def _watch_drift(self) -> None:
        while True:
            await self._clock.sleep(self.pace.drift_every_s or 3600.0)
            if self.pace.drift_every_s:
                await self.look_for_drift()

    async def look_for_drift(self) -> None:
        """Compare every active ordered service with its devices; a few at a time."""
        free = asyncio.Semaphore(self.pace.at_once)

        async def one(ordered: Ordered) -> int:
            async with free:
                return await self._compare(ordered)

        idle = [
            ordered
            for _, ordered in tuple(self._world.ordered.items())
            if ordered.state is ServiceLife.ACTIVE and not self._in_hand(ordered)
        ]
        self.stats.drifting = sum(await asyncio.gather(*map(one, idle)))

    def _in_hand(self, ordered: Ordered) -> bool:
        devices = {end.device for end in ordered.endpoints}
        return any(devices & taken for taken in self._busy.values())

    async def _compare(self, ordered: Ordered) -> int:
        """Tell what differs, where that is not what was told last; return on how many devices."""
        found = 0
        for difference in await self._activator().compare(as_item(ordered)):
            self.stats.drift_checks += 1
            key = (ordered.id, difference.device)
            if difference.why or self._world.ordered.get(ordered.id) is not ordered:
                continue  # not seeing is not knowing; and an order may have changed it meanwhile
            found += bool(difference.lines)
            told = (ordered.changed_at, difference.lines)
            if self._told.get(key) != told:
                self._told[key] = told
                await self._inbox.put(
                    Drifted(
                        at=self._clock.now(),
                        service=ordered.id,
                        device=difference.device,
                        lines=difference.lines,
                    )
                )
        return found


def as_item(ordered: Ordered) -> OrderItem:
    """Return the item that would make the devices what `ordered` shall be on them."""
    return OrderItem(
        order=ordered.order,
        number="",
        action=Action.MODIFY,
        service=ordered.id,
        template=ordered.template,
        endpoints=ordered.endpoints,
        definition=ordered.service,
        terms=ordered.terms,
        changed_at=ordered.changed_at,
    )
