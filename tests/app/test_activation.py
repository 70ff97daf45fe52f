"""Who carries orders out goes on when an order is cancelled under his hands, or trips a bug."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from netopsd.activation import AFTER_BUG_S, Activations, Pace
from netopsd.clock import ManualClock
from netopsd.core import engine
from netopsd.core.model import Input, OrderAct, OrderProgress, PlaceOrder, Reconfigured
from netopsd.core.ordered import (
    Action,
    Endpoint,
    Order,
    OrderItem,
    OrderState,
    Progress,
    Saved,
)
from netopsd.core.restore import restore
from netopsd.errors import CannotActivate, NotJudged
from netopsd.ports import Difference
from tests.core.network import T0, gold, inventory, port


class House:
    """The beliefs, an inbox that judges at once, and devices that do as they are told.

    `meanwhile` is done while a device is looked at, `preparing` while it is changed.
    """

    def __init__(self) -> None:
        self.clock = ManualClock(T0)
        self.world = restore(inventory({"r1": [], "r2": []}))
        self.said: list[Progress] = []
        self.done: list[str] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.preparing: Callable[[], Awaitable[None]] | None = None
        self.away = False
        self.bug: Exception | None = None  # of the devices, once
        self.stumbles: set[Progress] = set()  # over each of these, once
        self.work = Activations(self.world, self, lambda: self, self.clock, Pace())

    # ports.Inbox

    async def put(self, said: Input) -> None:
        raise NotImplementedError

    def offer(self, said: Input) -> bool:
        raise NotImplementedError

    async def durable(self, said: Input) -> None:
        if isinstance(said, OrderProgress) and said.what in self.stumbles:
            self.stumbles.discard(said.what)
            raise NotJudged("a bug")
        self.world.apply(engine.decide(self.world, said))
        if isinstance(said, OrderProgress):
            self.said.append(said.what)

    # ports.Activator and ports.Activation

    def check(self, item: OrderItem) -> None: ...

    async def compare(self, item: OrderItem) -> Sequence[Difference]:
        return ()

    def open(self, item: OrderItem) -> House:
        return self

    async def look(self) -> tuple[tuple[Saved, ...], tuple[str, ...]]:
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.away:
            raise CannotActivate("r1", "no answer", away=True)
        if self.bug is not None:
            bug, self.bug = self.bug, None
            raise bug
        return (Saved(device="r1"),), ()

    async def prepare(self) -> None:
        self.done.append("prepare")
        if self.preparing is not None:
            await self.preparing()

    async def confirm(self) -> tuple[str, ...]:
        self.done.append("confirm")
        return ()

    async def undo(self) -> tuple[str, ...]:
        self.done.append("undo")
        return ()

    async def close(self) -> None: ...

    # what people do

    async def place(self) -> None:
        at = self.clock.now()
        item = OrderItem(
            order="",
            number="1",
            action=Action.ADD,
            service="vpn",
            template="t",
            endpoints=(Endpoint(device="r1"),),
            definition=gold("vpn", [port("r1", "p1")]),
            changed_at=at,
        )
        order = Order(id="SO-1", sha256="x", items=(), placed_by="", placed_at=at, changed_at=at)
        await self.durable(PlaceOrder(at=at, by="crm", order=order, items=(item,)))

    async def cancel(self) -> None:
        await self.durable(OrderAct(at=self.clock.now(), by="anna", order="SO-1", what="cancel"))

    async def take_away(self) -> None:
        without = inventory({"r2": []})
        await self.durable(Reconfigured(at=self.clock.now(), inventory=without))

    async def run(self) -> OrderState:
        """Place the order and work until nothing is left to do; return what became of it."""
        await self.place()
        working = asyncio.create_task(self.work.run())
        for _ in range(200):
            await asyncio.sleep(0)
        assert not working.done(), working
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        assert not self.work.busy
        return self.world.orders["SO-1"].state


def test_an_order_cancelled_while_a_device_is_asked_in_vain_is_cancelled_and_that_is_all() -> None:
    house = House()
    house.meanwhile, house.away = house.cancel, True
    assert asyncio.run(house.run()) is OrderState.CANCELLED
    assert (house.said, house.done) == ([], [])


def test_an_order_that_trips_a_bug_waits_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    house.bug = ZeroDivisionError("a bug")
    assert asyncio.run(house.run()) is OrderState.COMPLETED
    assert house.clock.mono_s() >= AFTER_BUG_S
    assert "a bug" in caplog.text


@pytest.mark.parametrize(
    ("what", "then"),
    [
        (Progress.BEGUN, ["prepare", "confirm"]),
        # Whether it was decided nobody knows: what is believed is that it was interrupted.
        (Progress.DECIDED, ["prepare", "undo", "prepare", "confirm"]),
        (Progress.CONFIRMED, ["prepare", "confirm", "confirm"]),
    ],
)
def test_progress_that_judgement_stumbles_over_is_gone_on_with_from_what_is_believed(
    what: Progress, then: list[str]
) -> None:
    house = House()
    house.stumbles = {what}
    assert asyncio.run(house.run()) is OrderState.COMPLETED
    assert house.done == then


def test_an_order_whose_device_is_taken_away_while_it_is_asked_fails_in_words() -> None:
    house = House()
    house.meanwhile = house.take_away
    assert asyncio.run(house.run()) is OrderState.FAILED
    assert "there is no device 'r1'" in house.world.orders["SO-1"].why
    assert (house.said, house.done) == ([Progress.FAILED], [])


def test_an_order_whose_device_is_taken_away_before_the_decision_is_undone() -> None:
    house = House()
    house.preparing = house.take_away
    assert asyncio.run(house.run()) is OrderState.FAILED
    assert house.said == [Progress.BEGUN, Progress.UNDOING, Progress.FAILED]
    assert house.done == ["prepare", "undo"]
