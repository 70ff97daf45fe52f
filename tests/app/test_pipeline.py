"""The loop keeps its promise when the store does not, and when an input is poison."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import pytest

from netopsd.clock import ManualClock
from netopsd.core.model import Acknowledge, Batch, Blind, Input, NotAllowed, Tick
from netopsd.core.outcome import Beliefs, Notice, Outcome
from netopsd.core.restore import restore
from netopsd.core.world import World
from netopsd.errors import NotJudged
from netopsd.pipeline import Pipeline
from netopsd.ports import Message
from tests.core.network import T0, inventory


class ListStore:
    """Keeps what was committed; fails when told to."""

    def __init__(self) -> None:
        self.commits: list[Outcome] = []
        self.broken = False
        self.begun = asyncio.Event()

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def load(self, now: datetime | None = None) -> Beliefs:
        return Beliefs()

    async def commit(self, outcomes: Sequence[Outcome], messages: Sequence[Message]) -> None:
        self.begun.set()
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("disk full")
        self.commits += outcomes


class Ears:
    def __init__(self) -> None:
        self.committed_groups = 0

    def seen(self, batch: Batch) -> None:
        if batch.device == "poison":
            raise ZeroDivisionError("a bug")

    def recorded(self, said: Input) -> None: ...

    def committed(self, outcome: Outcome, seconds: float) -> None:
        self.committed_groups += 1


def silent(notices: Sequence[Notice]) -> Sequence[Message]:
    return []


def miss(device: str, seconds: int) -> Batch:
    at = T0 + timedelta(seconds=seconds)
    return Batch(device=device, at=at, mono_s=float(seconds), blind=Blind.UNREACHABLE, why="x")


def play(story: Callable[[Pipeline, ListStore], Awaitable[None]]) -> tuple[World, ListStore]:
    async def go() -> tuple[World, ListStore]:
        store = ListStore()
        world = restore(inventory({"gw": [], "b": [], "c": []}))
        pipeline = Pipeline(world, store, silent, ManualClock(T0), Ears())
        await story(pipeline, store)
        return world, store

    return asyncio.run(go())


def test_a_group_is_judged_in_order_and_committed_once() -> None:
    async def story(pipeline: Pipeline, store: ListStore) -> None:
        for n in range(3):
            await pipeline.mailbox.put(miss("gw", 30 * n))
        await pipeline.finish()

    world, store = play(story)
    assert world.devices["gw"].missed == 3
    assert len(store.commits) == 1


def test_a_failed_commit_leaves_the_world_as_it_was() -> None:
    async def story(pipeline: Pipeline, store: ListStore) -> None:
        store.broken = True
        await pipeline.mailbox.put(miss("gw", 0))
        await pipeline.mailbox.put(miss("gw", 30))
        with pytest.raises(OSError, match="disk full"):
            await pipeline.finish()

    world, _ = play(story)
    assert dict(world.devices.items()) == {}
    assert dict(world.due.items()) == {}


def test_what_waits_for_durability_hears_of_the_failed_commit() -> None:
    async def story(pipeline: Pipeline, store: ListStore) -> None:
        store.broken = True
        waiting = asyncio.create_task(pipeline.mailbox.durable(miss("gw", 0)))
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="disk full"):
            await pipeline.finish()
        with pytest.raises(RuntimeError, match="not committed"):
            await waiting

    play(story)


def test_a_poisonous_input_is_passed_over_and_leaves_no_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(pipeline: Pipeline, store: ListStore) -> None:
        for batch in (miss("gw", 0), miss("poison", 1), miss("b", 2)):
            await pipeline.mailbox.put(batch)
        await pipeline.finish()
        assert pipeline.stats.failed == 1

    world, _ = play(story)
    assert {name for name, _ in world.devices.items()} == {"gw", "b"}
    assert "no judgement" in caplog.text


def test_who_waits_for_a_poisonous_input_hears_of_it_once_what_came_before_is_committed() -> None:
    async def story(pipeline: Pipeline, store: ListStore) -> None:
        await pipeline.mailbox.put(miss("gw", 0))
        waiting = asyncio.create_task(pipeline.mailbox.durable(miss("poison", 1)))
        await asyncio.sleep(0)
        judging = asyncio.create_task(pipeline.finish())
        with pytest.raises(NotJudged):
            await waiting
        assert [list(outcome.devices) for outcome in store.commits] == [["gw"]]
        await judging

    play(story)


def test_a_person_is_told_why_not() -> None:
    async def story(pipeline: Pipeline, store: ListStore) -> None:
        asked = Acknowledge(at=T0, by="kari", alarm="gw!nothing")
        waiting = asyncio.create_task(pipeline.mailbox.durable(asked))
        await asyncio.sleep(0)
        await pipeline.finish()
        with pytest.raises(NotAllowed, match="there is no alarm"):
            await waiting

    play(story)


def test_an_input_that_changes_nothing_costs_no_commit() -> None:
    async def story(pipeline: Pipeline, store: ListStore) -> None:
        await pipeline.mailbox.put(Tick(T0))
        await pipeline.finish()

    _, store = play(story)
    assert store.commits == []


def test_told_to_stop_it_ends_the_commit_under_way_and_judges_what_has_arrived() -> None:
    async def story(pipeline: Pipeline, store: ListStore) -> None:
        loop = asyncio.create_task(pipeline.run())
        await pipeline.mailbox.put(miss("gw", 0))
        await store.begun.wait()
        await pipeline.mailbox.put(miss("gw", 30))  # while the first is being committed
        pipeline.stop()
        await asyncio.wait_for(loop, 5)

    world, store = play(story)
    assert world.devices["gw"].missed == 2
    assert [o.devices["gw"].missed for o in store.commits] == [1, 2]


def test_told_to_stop_with_nothing_to_do_it_stops() -> None:
    async def story(pipeline: Pipeline, store: ListStore) -> None:
        loop = asyncio.create_task(pipeline.run())
        await asyncio.sleep(0)
        pipeline.stop()
        await asyncio.wait_for(loop, 5)

    play(story)
