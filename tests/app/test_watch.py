"""Looks are spread, do not wait for one another, and never bring an exception across."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from netopsd.clock import SystemClock
from netopsd.core.fleet import Fleet, Member
from netopsd.core.inventory import Device
from netopsd.core.model import Batch, Blind, Input, Sweep, Tick
from netopsd.errors import CannotLook
from netopsd.pipeline import Mailbox
from netopsd.watch import SOON_S, Watch
from tests.app.machine import Machine, clock

pytestmark = pytest.mark.usefixtures("machine")


class Devices:
    """A poller whose devices answer, hang, refuse or trip a bug, by name."""

    def __init__(self, clock: SystemClock) -> None:
        self.asked: list[str] = []
        self.clock = clock

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def poll(self, device: str) -> Batch:
        self.asked.append(device)
        if device.startswith("hangs"):
            await asyncio.sleep(3600)
        if device.startswith("refuses"):
            raise CannotLook(device, Blind.REJECTED, "no")
        if device.startswith("bug"):
            raise ZeroDivisionError("oops")
        return Batch(device=device, at=self.clock.now(), mono_s=self.clock.mono_s())


class Inbox:
    def __init__(self) -> None:
        self.batches: list[Batch] = []

    async def put(self, said: Input) -> None:
        assert isinstance(said, Batch)
        self.batches.append(said)

    def offer(self, said: Input) -> bool:
        return False

    async def durable(self, said: Input) -> None: ...


def fleet(*names: str, interval_s: float = 1.0) -> dict[str, Device]:
    return {name: Device(name=name, interval_s=interval_s) for name in names}


def watched(devices: dict[str, Device], seconds: float) -> tuple[Watch, Devices, Inbox]:
    poller, inbox = Devices(clock()), Inbox()
    watch = Watch(lambda _: [("snmp", poller)], clock(), inbox, lambda took_s, looks: None)

    async def go() -> None:
        task = asyncio.create_task(watch.run(devices))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    Machine.loop.play(go())
    return watch, poller, inbox


def test_a_hanging_device_delays_no_other_and_is_not_asked_twice_at_once() -> None:
    watch, poller, inbox = watched(fleet("hangs", "a", "b"), 2.6)

    assert poller.asked.count("hangs") == 1
    assert watch.stats.late >= 1
    assert {b.device for b in inbox.batches} == {"a", "b"}
    assert len(inbox.batches) >= 4


def test_an_exception_becomes_a_blind_batch(caplog: pytest.LogCaptureFixture) -> None:
    _, _, inbox = watched(fleet("refuses", "bug"), 1.2)

    assert {(b.device, b.blind) for b in inbox.batches} == {
        ("refuses", Blind.REJECTED),
        ("bug", Blind.SKIPPED),
    }
    assert "in a way no collector announces" in caplog.text


def test_a_verifying_look_comes_at_once_and_after_the_one_under_way() -> None:
    poller, inbox = Devices(clock()), Inbox()
    watch = Watch(lambda _: [("snmp", poller)], clock(), inbox, lambda took_s, looks: None)

    async def go() -> None:
        task = asyncio.create_task(watch.run(fleet("a", interval_s=3600)))
        await asyncio.sleep(0.05)
        before = len(poller.asked)
        watch.look_soon("a", 0.0)
        watch.look_soon("a", 0.0)
        await asyncio.sleep(0.2)
        assert len(poller.asked) == before + 1
        watch.look_soon("nobody", 0.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    Machine.loop.play(go())


def test_devices_asked_for_together_again_are_not_looked_at_all_at_once() -> None:
    """Each waits as long as looks beside the turns keep apart, and at most a second more."""
    poller = Devices(clock())
    watch = Watch(lambda _: [("snmp", poller)], clock(), Inbox(), lambda took_s, looks: None)
    names = [f"d{n}" for n in range(40)]

    async def go() -> list[float]:
        task = asyncio.create_task(watch.run(fleet(*names, interval_s=3600)))
        await asyncio.sleep(0.05)
        for _ in range(2):
            for name in names:
                watch.look_soon(name, 0.0)
            await asyncio.sleep(0.05)
        now = Machine.loop.time()
        waits = [timer.when() - now for timer in watch._timers.values()]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return waits

    waits = Machine.loop.play(go())
    assert len(waits) == len(names)
    assert SOON_S - 0.2 < min(waits) <= max(waits) < SOON_S + 1.0
    most = max(sum(abs(one - other) < 0.1 for other in waits) for one in waits)
    assert most <= len(names) / 2


def test_a_look_that_waits_for_room_is_not_taken_again_in_a_sweep() -> None:
    """The inbox is full: the look is over for its device, and not for us."""

    class Sweeping(Devices):
        swept: list[frozenset[str]]

        async def sweep(
            self, devices: tuple[str, ...], under_way: frozenset[str] = frozenset()
        ) -> AsyncIterator[Sweep | str]:
            self.swept.append(under_way)
            for name in devices:
                if name not in under_way:
                    yield name

    class Full(Inbox):
        async def put(self, said: Input) -> None:
            await super().put(said)
            await asyncio.get_running_loop().create_future()

    poller, inbox = Sweeping(clock()), Full()
    poller.swept = []
    watch = Watch(lambda _: [("snmp", poller)], clock(), inbox, lambda took_s, looks: None)

    async def go() -> None:
        task = asyncio.create_task(watch.run(fleet("a", "b", interval_s=0.3)))
        await asyncio.sleep(0.9)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    Machine.loop.play(go())

    assert poller.swept[0] == frozenset()
    assert set(poller.swept[1:]) == {frozenset({"a", "b"})}
    assert len(inbox.batches) == 2


def test_a_sweep_takes_as_much_room_as_the_looks_in_it() -> None:
    def sweep(seen: int) -> Sweep:
        nothing = np.zeros(0)
        return Sweep(
            at=SystemClock().now(), mono_s=0.0, fleet=Fleet.of(()), when_s=nothing, took_s=nothing,
            present=np.array([n < seen for n in range(9)]), numbers=np.zeros(1, np.uint64),
        )  # fmt: skip

    async def go() -> None:
        box = Mailbox(10)
        assert box.offer(sweep(5))
        assert box.offer(sweep(0))
        assert len(box) == 6
        assert box.offer(sweep(9))
        assert not box.offer(Tick(SystemClock().now()))
        assert [len(await box.take(3)) for _ in range(2)] == [1, 2]
        assert len(box) == 0

    asyncio.run(go())


def test_a_verifying_look_comes_after_the_sweep_under_way() -> None:
    """Asked for while a and b are looked at together: a is looked at once more, and b is not."""
    made = Fleet.of(tuple(Member(device=name, size=0, parts=(), clocks={}) for name in ("a", "b")))

    class Sweeping(Devices):
        begun: asyncio.Event

        async def sweep(
            self, devices: tuple[str, ...], under_way: frozenset[str] = frozenset()
        ) -> AsyncIterator[Sweep | str]:
            self.begun.set()
            await asyncio.sleep(0.2)
            self.asked.append("both")
            yield Sweep(
                at=self.clock.now(), mono_s=self.clock.mono_s(), fleet=made,
                present=np.array([True, True]), when_s=np.zeros(2), took_s=np.zeros(2),
                numbers=np.zeros(1, np.uint64),
            )  # fmt: skip
            await asyncio.sleep(0.2)  # for somebody else
            self.asked.append("over")

    class Taking(Inbox):
        async def put(self, said: Input) -> None:
            return

    poller = Sweeping(clock())
    watch = Watch(lambda _: [("snmp", poller)], clock(), Taking(), lambda took_s, looks: None)

    async def go() -> None:
        poller.begun = asyncio.Event()
        task = asyncio.create_task(watch.run(fleet("a", "b", interval_s=1.0)))
        await poller.begun.wait()
        watch.look_soon("a", 0)
        await asyncio.sleep(0.6)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    Machine.loop.play(go())

    assert poller.asked == ["both", "a", "over"]
