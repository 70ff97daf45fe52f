"""The core's intake of sites' looks: what is confirmed is committed, and the loop goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from collectors.mqtt import wire
from collectors.mqtt.sites import SiteIntake
from collectors.mqtt.topics import Collector, Taken
from netopsd.broker import BrokerGone, Heard
from netopsd.broker_settings import BrokerSettings
from netopsd.clock import ManualClock
from netopsd.core.model import Batch, Input
from tests.collectors.mqtt.looks import T0, layout, look

C1 = Collector(root="n", site="oslo", name="c1")
SHAPE = layout(2)
ID, DEFINITION = wire.define(SHAPE)


def parcel(seq: int) -> Heard:
    place = wire.Place(stream=7, seq=seq, prev=seq - 1, floor=0)
    octets = wire.message(
        place,
        wire.pack_definitions([(ID, DEFINITION)]),
        wire.pack_looks([look("r1", SHAPE, seq)], {id(SHAPE): ID}),
    )
    return Heard(topic=C1.looks, payload=octets, retained=False, qos=1, mid=seq)


class Link:
    """A connection: gives groups of messages, keeps what it is told, and can take its time."""

    def __init__(self) -> None:
        self.groups: asyncio.Queue[list[Heard]] = asyncio.Queue()
        self.told: list[int] = []
        self.acked: list[int] = []
        self.ready = asyncio.Event()
        self.ready.set()

    async def hear(self, filters: Iterable[str]) -> None:
        pass

    async def take(self, most: int) -> list[Heard]:
        group = await self.groups.get()
        if not group:
            raise BrokerGone("the connection ended")
        return group

    def ack(self, heard: Iterable[Heard]) -> None:
        self.acked += [one.mid for one in heard]

    async def tell(self, topic: str, payload: bytes, *, retain: bool) -> int:
        await self.ready.wait()
        self.told.append(Taken.of(payload).taken)
        return 0


class Heap:
    """An inbox whose commits can be made to wait."""

    def __init__(self) -> None:
        self.looks: list[Batch] = []
        self.waiting = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def put(self, said: Input) -> None:
        assert isinstance(said, Batch)
        self.looks.append(said)

    def offer(self, said: Input) -> bool:
        del said
        return False

    async def durable(self, said: Input) -> None:
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        await self.put(said)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.001)


def played(folder: Path, story: Callable[[SiteIntake, Heap], Awaitable[None]]) -> None:
    async def go() -> None:
        own = BrokerSettings(host="127.0.0.1")
        await story(SiteIntake(own, "n", {"r1": "oslo"}, ManualClock(T0), folder), Heap())

    asyncio.run(go())


@contextlib.asynccontextmanager
async def session(intake: SiteIntake, link: Link, heap: Heap):  # type: ignore[no-untyped-def]
    task = asyncio.create_task(intake._session(link, heap))  # type: ignore[arg-type]
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_collector_is_told_nothing_that_is_not_committed(tmp_path: Path) -> None:
    """What it is told of it forgets: a core that dies then would have lost it."""

    async def story(intake: SiteIntake, heap: Heap) -> None:
        link, other = Link(), Link()
        link.ready.clear()
        async with session(intake, link, heap):
            for seq in (1, 2):
                link.groups.put_nowait([parcel(seq)])
                await until(lambda seq=seq: link.acked == [*range(1, seq + 1)])
            heap.gate.clear()
            link.groups.put_nowait([parcel(3)])
            await until(lambda: heap.waiting)
            link.ready.set()
            await until(lambda: 2 in link.told)
            await until((tmp_path / "sites.json").exists)
            assert max(link.told) == 2 and link.acked == [1, 2]
            assert json.loads((tmp_path / "sites.json").read_text())[0]["taken"] == 2
        # The connection is lost before the commit: what is sent again then is taken again.
        heap.gate.set()
        async with session(intake, other, heap):
            other.groups.put_nowait([parcel(3)])
            await until(lambda: 3 in other.told)
        assert len(heap.looks) == 3

    played(tmp_path, story)


def test_others_get_their_turn_between_two_parcels(tmp_path: Path) -> None:
    async def story(intake: SiteIntake, heap: Heap) -> None:
        link, turns = Link(), 0
        async with session(intake, link, heap):
            link.groups.put_nowait([parcel(seq) for seq in range(1, 21)])
            while not heap.looks:
                turns += 1
                await asyncio.sleep(0)
        assert turns >= 20

    played(tmp_path, story)


def test_a_disk_that_takes_nothing_is_told_of_once_and_its_return_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(intake: SiteIntake, heap: Heap) -> None:
        link, full = Link(), tmp_path / "sites.new"
        full.symlink_to("/dev/full")
        async with session(intake, link, heap) as task:
            link.groups.put_nowait([parcel(1)])
            await until(lambda: link.acked)
            await until(lambda: intake._clock.mono_s() > 5)  # it tried several times
            assert link.told == [] and not task.done()
            full.unlink()
            await until(lambda: link.told == [1])

    with caplog.at_level(logging.INFO, logger="collectors.mqtt.sites"):
        played(tmp_path, story)
    said = [record.levelname for record in caplog.records if "confirmed" in record.message]
    assert said == ["ERROR", "INFO"]
