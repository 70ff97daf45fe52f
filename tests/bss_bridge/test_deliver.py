"""The deliverer: in order per account, nobody waits for a stranger, nothing is lost."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bss_bridge.deliver import Deliverer, DeliverySettings
from bss_bridge.settings import RetrySettings
from netopsd.clock import ManualClock
from netopsd.errors import Refused, StoreBroken, TryLater
from netopsd.ports import Message, Pending
from tests.bss_bridge.world import T0, MemoryOutbox, message


class TellingSink:
    """Keeps what it takes; `mood` may object first."""

    def __init__(self, mood: Callable[[Message], Awaitable[None]] | None = None) -> None:
        self.taken: list[Message] = []
        self.tries: list[Message] = []
        self._mood = mood

    async def deliver(self, message: Message) -> None:
        self.tries.append(message)
        if self._mood is not None:
            await self._mood(message)
        self.taken.append(message)

    async def close(self) -> None: ...


def deliver(
    outbox: MemoryOutbox,
    sinks: Mapping[str, TellingSink],
    until: Callable[[], bool] | None = None,
    clock: ManualClock | None = None,
    settings: Mapping[str, DeliverySettings] | None = None,
) -> Deliverer:
    """Run until `until` (default: nothing waits), or fail after ten seconds."""
    deliverer = Deliverer(outbox, sinks, clock or ManualClock(T0), settings)

    async def run() -> None:
        task = asyncio.create_task(deliverer.run())
        done = until or (lambda: all(row.parked for row in outbox.rows.values()))
        async with asyncio.timeout(10):
            while not done() and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and task.exception():
            raise task.exception()  # type: ignore[misc]

    asyncio.run(run())
    return deliverer


def put(streams: Sequence[str], each: int, sink: str = "sink") -> MemoryOutbox:
    outbox = MemoryOutbox()
    outbox.put([message(n, stream, sink) for n in range(each) for stream in streams])
    return outbox


def by_stream(messages: Sequence[Message]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for one in messages:
        found[one.stream].append(one.body)
    return found


def test_each_account_hears_its_messages_in_order() -> None:
    outbox = put([f"a{n}" for n in range(40)], 25)
    sink = TellingSink()
    deliverer = deliver(outbox, {"sink": sink})
    for bodies in by_stream(sink.taken).values():
        assert bodies == [f'{{"n":{n}}}' for n in range(25)]
    assert deliverer.stats()["sink"].delivered == 1000
    assert len(outbox.done) == 1000


def test_order_holds_through_failures() -> None:
    fails: dict[str, int] = defaultdict(int)

    async def moody(said: Message) -> None:
        fails[said.key] += 1
        if fails[said.key] % 3:
            raise TryLater("not now")

    outbox = put(["a1", "a2", "a3"], 20)
    sink = TellingSink(moody)
    deliver(outbox, {"sink": sink})
    for bodies in by_stream(sink.taken).values():
        assert bodies == [f'{{"n":{n}}}' for n in range(20)]


def test_two_messages_of_one_account_are_never_under_way_together() -> None:
    under_way: set[str] = set()

    async def slow(said: Message) -> None:
        assert said.stream not in under_way
        under_way.add(said.stream)
        await asyncio.sleep(0.001)
        under_way.remove(said.stream)

    deliver(put(["a1", "a2", "a3"], 15), {"sink": TellingSink(slow)})


def test_concurrency_is_bounded() -> None:
    now = most = 0

    async def slow(said: Message) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    settings = {"sink": DeliverySettings(concurrency=3)}
    deliver(put([f"a{n}" for n in range(30)], 2), {"sink": TellingSink(slow)}, settings=settings)
    assert most == 3


def test_poison_is_parked_at_once_with_its_reason_and_the_account_goes_on() -> None:
    async def choosy(said: Message) -> None:
        if said.body == '{"n":1}':
            raise Refused("no such account")

    outbox = put(["a1", "a2"], 4)
    sink = TellingSink(choosy)
    deliverer = deliver(outbox, {"sink": sink})
    assert [row.reason for row in outbox.rows.values()] == ["refused: no such account"] * 2
    assert len(sink.taken) == 6
    assert deliverer.stats()["sink"].parked == 2


def test_one_in_a_hundred_poisoned_for_ever_costs_the_others_nothing() -> None:
    async def choosy(said: Message) -> None:
        if said.key.endswith("7|3"):
            raise TryLater("never")

    outbox = put([f"a{n}" for n in range(100)], 10)
    sink = TellingSink(choosy)
    deliver(outbox, {"sink": sink}, until=lambda: len(sink.taken) >= 90 * 10 + 10 * 3)
    stuck = by_stream([row.message for row in outbox.rows.values()])
    assert set(stuck) == {f"a{n}7" for n in range(1, 10)} | {"a7"}


def test_a_stream_that_hangs_delays_nobody_else() -> None:
    async def hangs(said: Message) -> None:
        if said.stream == "a0":
            await asyncio.Event().wait()

    outbox = MemoryOutbox()
    outbox.put([message(n, "a0") for n in range(1000)])  # more than is asked for at a time
    outbox.put([message(n, "a1") for n in range(10)])
    sink = TellingSink(hangs)
    deliver(outbox, {"sink": sink}, until=lambda: len(sink.taken) == 10)


def test_an_answer_of_the_outbox_that_is_overtaken_repeats_nothing() -> None:
    class LateOutbox(MemoryOutbox):
        """What it says is due has been delivered by the time it is heard."""

        asked = 0

        async def due(self, sink: str, now: datetime, limit: int) -> Sequence[Pending]:
            found = await super().due(sink, now, limit)
            await asyncio.sleep(0.03)
            self.asked += 1
            return found

    async def one_is_slow(said: Message) -> None:
        if said.stream == "slow":
            await asyncio.sleep(0.01)

    outbox, sink = LateOutbox(), TellingSink(one_is_slow)
    outbox.put([message(1, "slow"), message(1, "quick")])
    deliver(outbox, {"sink": sink}, until=lambda: len(sink.taken) >= 2 and outbox.asked >= 5)
    assert len(sink.taken) == 2
    assert not outbox.rows


def test_a_sink_that_hangs_delays_no_other_sink() -> None:
    async def hangs(_: Message) -> None:
        await asyncio.Event().wait()

    outbox = put(["a1"], 5, sink="dead")
    outbox.put([message(n, "a1", "alive") for n in range(5)])
    alive = TellingSink()
    deliver(
        outbox, {"dead": TellingSink(hangs), "alive": alive}, until=lambda: len(alive.taken) == 5
    )


def test_a_day_without_the_billing_system_loses_nothing() -> None:
    clock = ManualClock(T0)
    back = T0 + timedelta(hours=24)

    async def down_for_a_day(_: Message) -> None:
        if clock.now() < back:
            raise TryLater("connection refused")

    outbox = put([f"a{n}" for n in range(200)], 5)
    sink = TellingSink(down_for_a_day)
    deliverer = deliver(outbox, {"sink": sink}, clock=clock)
    assert len(sink.taken) == 1000
    for bodies in by_stream(sink.taken).values():
        assert bodies == [f'{{"n":{n}}}' for n in range(5)]
    assert clock.now() - back < timedelta(minutes=10)
    assert deliverer.stats()["sink"].failing_since is None
    # 200 accounts do not hammer a dead sink: one probe every half minute is enough
    assert deliverer.stats()["sink"].failed < 24 * 60 * 3


def test_retry_after_is_honoured() -> None:
    clock = ManualClock(T0)
    tries: list[datetime] = []

    async def busy(_: Message) -> None:
        tries.append(clock.now())
        if len(tries) == 1:
            raise TryLater("429", after_s=600.0)

    deliver(put(["a1"], 1), {"sink": TellingSink(busy)}, clock=clock)
    assert tries[1] - tries[0] >= timedelta(seconds=600)


def test_a_sinks_bug_postpones_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    tries = 0

    async def buggy(_: Message) -> None:
        nonlocal tries
        tries += 1
        if tries < 5:
            raise KeyError("oops")

    outbox = put(["a1"], 3)
    sink = TellingSink(buggy)
    deliver(outbox, {"sink": sink})
    assert len(sink.taken) == 3
    assert [record.message for record in caplog.records if record.exc_info] == [
        "sink sink: unexpected"
    ]


def test_only_who_is_configured_to_gives_up_and_then_parks() -> None:
    async def never(_: Message) -> None:
        raise TryLater("never")

    outbox = put(["a1"], 2)
    settings = {"sink": DeliverySettings(retry=RetrySettings(park_after=5))}
    sink = TellingSink(never)
    deliver(outbox, {"sink": sink}, settings=settings)
    assert {row.reason for row in outbox.rows.values()} == {"gave up after 5 attempts: never"}
    assert len(sink.tries) == 10


def test_a_nudge_wakes_the_sinks_at_once() -> None:
    async def run() -> None:
        clock = _StuckClock(T0)
        outbox, sink = MemoryOutbox(), TellingSink()
        deliverer = Deliverer(outbox, {"sink": sink}, clock)
        task = asyncio.create_task(deliverer.run())
        for _ in range(20):
            await asyncio.sleep(0)  # it has looked, and sleeps
        outbox.put([message()])
        await asyncio.sleep(0.01)
        assert not sink.taken
        deliverer.nudge()
        async with asyncio.timeout(5):
            while not sink.taken:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


class _StuckClock(ManualClock):
    """Nobody wakes from its sleep."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


def test_a_broken_store_ends_the_delivery() -> None:
    async def broken(_: Message) -> None:
        raise StoreBroken("disk I/O error")

    with pytest.raises(StoreBroken, match="disk I/O error"):
        deliver(put(["a1"], 1), {"sink": TellingSink(broken)})

    class BrokenOutbox(MemoryOutbox):
        async def delivered(self, ids: Sequence[int]) -> None:
            raise StoreBroken("outbox")

    outbox = BrokenOutbox()
    outbox.put([message()])
    with pytest.raises(StoreBroken, match="outbox"):
        deliver(outbox, {"sink": TellingSink()})


def test_what_was_delivered_is_noted_even_when_cancelled_then() -> None:
    class SlowOutbox(MemoryOutbox):
        async def delivered(self, ids: Sequence[int]) -> None:
            await asyncio.sleep(0.05)
            await super().delivered(ids)

    outbox, sink = SlowOutbox(), TellingSink()
    outbox.put([message(n, f"a{n}") for n in range(5)])
    deliver(outbox, {"sink": sink}, until=lambda: len(sink.taken) == 5)
    assert not outbox.rows


def test_a_message_parked_and_retried_by_hand_is_delivered() -> None:
    refuse = True

    async def choosy(_: Message) -> None:
        if refuse:
            raise Refused("closed")

    outbox, sink = put(["a1"], 1), TellingSink(choosy)
    deliver(outbox, {"sink": sink})
    refuse = False
    asyncio.run(outbox.retry(1, T0 + timedelta(days=1)))
    deliver(outbox, {"sink": sink}, clock=ManualClock(T0 + timedelta(days=1)))
    assert sink.taken == [message(0, "a1")]


def test_a_retry_sends_the_same_bytes() -> None:
    fails = 3

    async def moody(_: Message) -> None:
        nonlocal fails
        fails -= 1
        if fails >= 0:
            raise TryLater("not now")

    outbox, sink = put(["a1"], 1), TellingSink(moody)
    deliver(outbox, {"sink": sink})
    assert set(sink.tries) == {replace(message(0, "a1"))}
    assert len(sink.tries) == 4
