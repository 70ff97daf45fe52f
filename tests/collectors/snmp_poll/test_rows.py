"""Rows that change: a counter is told for the port it stands at, or for none."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from collectors.snmp_codec.ber import Tag
from collectors.snmp_codec.message import GETBULK, Pdu
from collectors.snmp_poll import SnmpPoller, SnmpPollSettings, Target
from collectors.snmp_poll.uptime import began_anew
from netopsd.clock import ManualClock
from netopsd.core.fleet import batches
from netopsd.core.model import Batch
from tests.collectors.snmp_poll.agent import IF, IFX, Agent, switch
from tests.collectors.snmp_poll.test_lies import TABLES, credentials, ports

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
UPTIME, NUMBER = "1.3.6.1.2.1.1.3.0", "1.3.6.1.2.1.2.1.0"
LAST_CHANGE = "1.3.6.1.2.1.31.1.5.0"
NOT_LEARNT = "the rows may have changed and could not be learnt anew"
TOO_OFTEN = "the rows change too often to follow"


class Box(Agent):
    """A switch whose uptime goes with the clock, and whose ports can be renumbered."""

    def __init__(self, up_s: float = 1000.0) -> None:
        super().__init__(switch())
        self.booted_s = -up_s
        self.clock: ManualClock | None = None
        self.cut = False  # answers the first question of a walk, and no other
        self.turning: dict[str, Any] | None = None  # what it is as soon as a port's name was read
        self._walked = 0

    def reply(self, version: int, asked: Pdu) -> Iterable[Pdu]:
        if self.clock is not None and self.mib[UPTIME][0] == Tag.TIME_TICKS:
            up = int((self.clock.mono_s() - self.booted_s) * 100)
            self.mib[UPTIME] = (Tag.TIME_TICKS, up)
        if asked.tag == GETBULK and self.cut:
            self._walked += 1
            if self._walked > 1:
                return
        yield self.truth(version, asked)
        if asked.tag == GETBULK and self.turning and IF in asked.varbinds[0].oid:
            self.change(self.turning)
            self.turning = None

    def listens_again(self) -> None:
        self._walked = 0

    def boot(self, up_s: float = 5.0) -> None:
        assert self.clock is not None
        self.booted_s = self.clock.mono_s() - up_s

    def renumbered(self, **scalars: int) -> dict[str, Any]:
        """Return this device with its ports numbered the other way round."""
        new = dict(self.mib)
        for oid, told in self.mib.items():
            for base in (IF, IFX):
                if oid.startswith(base + "."):
                    head, _, index = oid.rpartition(".")
                    new[f"{head}.{5 - int(index)}"] = told
        if "last" in scalars:
            new[LAST_CHANGE] = (Tag.TIME_TICKS, scalars["last"])
        return new


def tell(
    box: Box | dict[str, Box],
    story: Callable[[SnmpPoller, ManualClock], Awaitable[Any]],
    tables: tuple[str, ...] = ("system", "if"),
    **settings: Any,
) -> Any:
    """Run `story` with a poller of "gw1" (or of all that are named), and a clock it can move."""
    boxes = box if isinstance(box, dict) else {"gw1": box}
    unheard: list[Any] = []

    async def run() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: unheard.append(said))
        clock = ManualClock(NOON)
        for each in boxes.values():
            each.clock = clock
            await each.__aenter__()
        targets = {
            name: Target(
                name=name, address="127.0.0.1", port=each.port, credentials=credentials(),
                tables=tables,
            )
            for name, each in boxes.items()
        }  # fmt: skip
        chosen = SnmpPollSettings.model_validate({"timeout_s": 0.3, "retries": 1, **settings})
        poller = SnmpPoller(chosen, TABLES, targets, clock)
        await poller.start()
        try:
            return await story(poller, clock)
        finally:
            await poller.close()
            for each in boxes.values():
                await each.__aexit__()

    told = asyncio.run(run())
    assert not unheard
    return told


def octets(batch: Batch) -> dict[str, int]:
    """Return ifHCInOctets by port; `switch` says 2^40 + 1000 (port + 1) + 6."""
    found = {}
    for table in batch.tables:
        if table.layout.table == "if" and "ifHCInOctets" in table.layout.counters:
            at = table.layout.counters.index("ifHCInOctets")
            for row, name in enumerate(table.layout.rows):
                if table.missing is None or not table.missing[at, row]:
                    found[name] = int(table.counters[at, row])
    return found


TRUE = {f"ge-0/0/{port}": 2**40 + 1000 * (port + 1) + 6 for port in range(4)}


def right(batch: Batch) -> bool:
    """Whether no port was told another's counter."""
    return octets(batch).items() <= TRUE.items()


def none_then_all(batches: Sequence[Batch], why: str) -> bool:
    """Whether the last look tells every port rightly, and those before it none, saying `why`."""
    *doubtful, whole = batches
    said = all(octets(batch) == {} and why in batch.errors.values() for batch in doubtful)
    return said and octets(whole) == TRUE


HASTY: dict[str, Any] = {"timeout_s": 0.05, "retries": 0, "max_repetitions": 1}


@pytest.mark.parametrize("said", ["uptime", "last change"])
def test_rows_that_could_not_be_learnt_after_they_changed_are_told_for_no_port(said: str) -> None:
    box = Box()

    async def story(poller: SnmpPoller, clock: ManualClock) -> list[Batch]:
        await poller.poll("gw1")
        clock.move(30)
        if said == "uptime":
            box.boot()
            box.change(box.renumbered())
        else:
            box.change(box.renumbered(last=77))
        box.cut, seen = True, []
        for _ in range(2):  # its answers stay away in the midst of a walk
            box.listens_again()
            seen.append(await poller.poll("gw1"))
            clock.move(30)
        box.cut = False
        return [*seen, await poller.poll("gw1")]

    assert none_then_all(tell(box, story, **HASTY), NOT_LEARNT)


def test_where_no_walk_comes_to_its_end_what_it_did_learn_is_told_rightly() -> None:
    box = Box()

    async def story(poller: SnmpPoller, clock: ManualClock) -> list[Batch]:
        await poller.poll("gw1")
        box.boot()
        box.change(box.renumbered())
        box.cut, seen = True, []
        for _ in range(4):
            clock.move(30)
            box.listens_again()
            seen.append(await poller.poll("gw1"))
        return seen

    seen = tell(box, story, **HASTY)

    assert [len(octets(batch)) for batch in seen] == [0, 0, 1, 1]
    assert all(right(batch) for batch in seen)


def test_a_walk_cut_short_costs_no_row_and_is_tried_again_after_a_minute() -> None:
    async def story(poller: SnmpPoller, clock: ManualClock) -> dict[str, tuple[int, bool]]:
        for name in boxes:
            await poller.poll(name)
        clock.move(1000)
        found = {}
        for name, box in boxes.items():
            box.cut, before = True, poller.stats().walks
            for _ in range(5):
                clock.move(1)
                box.listens_again()
                batch = await poller.poll(name)
            found[name] = (poller.stats().walks - before, octets(batch) == TRUE)
        return found

    # The one that walks soonest and the one that walks latest of their rewalk time.
    names = sorted((f"d{n}" for n in range(40)), key=lambda name: zlib.crc32(name.encode()))
    boxes = {name: Box() for name in (names[0], names[-1])}
    found = tell(boxes, story, ("if",), **HASTY)

    assert found == dict.fromkeys(boxes, (1, True))


def test_rows_that_change_during_the_walk_are_learnt_once_more() -> None:
    box = Box()

    async def story(poller: SnmpPoller, clock: ManualClock) -> list[Batch]:
        await poller.poll("gw1")
        was = dict(box.mib)
        box.change(box.renumbered(last=1))
        box.turning = was | {LAST_CHANGE: (Tag.TIME_TICKS, 2)}  # in the midst of the walk
        seen = []
        for _ in range(4):
            clock.move(30)
            seen.append(await poller.poll("gw1"))
        return seen

    during, *after = tell(box, story, max_repetitions=2)

    assert right(during)
    assert [octets(batch) for batch in after] == [TRUE] * 3


def test_a_restart_during_the_walk_is_seen_by_the_look_after_it_at_the_latest() -> None:
    class Restless(Box):
        def change(self, mib: Any) -> None:
            super().change(mib)
            if getattr(self, "turning", None) is not None:
                self.boot(1.0)

    box = Restless()

    async def story(poller: SnmpPoller, clock: ManualClock) -> list[Batch]:
        await poller.poll("gw1")
        clock.move(30)
        box.boot(20.0)
        was = dict(box.mib)
        box.change(box.renumbered())
        box.turning = was
        seen = []
        for _ in range(3):
            seen.append(await poller.poll("gw1"))
            clock.move(30)
        return seen

    during, *after = tell(box, story, max_repetitions=2)

    assert right(during)
    assert [octets(batch) for batch in after] == [TRUE] * 2


def sensors(*names: str) -> dict[str, Any]:
    mib: dict[str, Any] = {}
    for i, name in enumerate(names, 1):
        mib[f"1.3.6.1.2.1.47.1.1.1.1.7.{i}"] = (Tag.OCTET_STRING, name.encode())
        mib[f"1.3.6.1.2.1.47.1.1.1.1.2.{i}"] = (Tag.OCTET_STRING, b"sensor")
        value = {"inlet": 25, "rxpower": 9000}[name]
        mib |= {f"1.3.6.1.2.1.99.1.1.1.{column}.{i}": (Tag.INTEGER, 1) for column in (1, 2, 3, 5)}
        mib[f"1.3.6.1.2.1.99.1.1.1.4.{i}"] = (Tag.INTEGER, value)
    return mib


def values(batch: Batch) -> dict[str, float] | None:
    """Return what the sensors say, by name."""
    for table in batch.tables:
        if table.layout.table == "entPhySensor":
            at = table.layout.gauges.index("entPhySensorValue")
            return {
                n: v
                for n, v in zip(table.layout.rows, table.gauges[at].tolist(), strict=True)
                if not math.isnan(v)
            }
    return None


@pytest.mark.parametrize("look_table", ["if", "system"])
def test_a_table_that_is_not_due_when_its_device_restarts_is_learnt_anew_when_it_is(
    look_table: str,
) -> None:
    box = Box()
    box.change(box.mib | sensors("inlet", "rxpower"))

    async def story(poller: SnmpPoller, clock: ManualClock) -> list[Any]:
        seen = [values(await poller.poll("gw1"))]
        clock.move(30)
        box.boot()
        box.change(box.mib | sensors("rxpower", "inlet"))
        for _ in range(6):
            seen.append(values(await poller.poll("gw1")))
            clock.move(30)
        return seen

    first, *later = tell(box, story, (look_table, "system", "entPhySensor"))

    assert first == {"inlet": 25.0, "rxpower": 9000.0}
    assert all(each in (None, first) for each in later)
    assert first in later


class Exchange(Box):
    """A subscriber dials in, and another is gone, whenever anybody asks anything."""

    calls = 0

    def reply(self, version: int, asked: Pdu) -> Iterable[Pdu]:
        yield from super().reply(version, asked)
        self.calls += 1
        mib = {oid: told for oid, told in self.mib.items() if int(oid.rpartition(".")[2]) < 100}
        mib[LAST_CHANGE] = (Tag.TIME_TICKS, 5000 + self.calls)
        for column in (f"{IF}.2", f"{IFX}.1"):
            mib[f"{column}.{100 + self.calls}"] = (Tag.OCTET_STRING, b"ppp%d" % self.calls)
        self.change(mib)


def test_ports_that_come_and_go_all_the_time_cost_the_others_no_look_that_walked() -> None:
    box = Exchange()

    async def story(poller: SnmpPoller, clock: ManualClock) -> list[Batch]:
        seen = []
        for _ in range(5):
            seen.append(await poller.poll("gw1"))
            clock.move(30)
        return seen

    seen = tell(box, story)

    for batch in seen:
        assert {n: v for n, v in octets(batch).items() if not n.startswith("ppp")} == TRUE


def test_a_table_learnt_late_after_a_restart_is_told_for_nothing_where_its_walk_is_cut_short() -> (
    None
):
    class Half(Box):
        """Its answers stay away in the midst of the walk of its sensors."""

        half = False

        def reply(self, version: int, asked: Pdu) -> Iterable[Pdu]:
            inside = any(each.oid.endswith(".99.1.1.1.4.1") for each in asked.varbinds)
            if self.half and asked.tag == GETBULK and inside:
                return
            yield from super().reply(version, asked)

    box = Half()
    box.change(box.mib | sensors("inlet", "rxpower"))

    async def story(poller: SnmpPoller, clock: ManualClock) -> list[Any]:
        seen = [values(await poller.poll("gw1"))]
        clock.move(30)
        box.boot()
        box.change(box.mib | sensors("rxpower", "inlet"))
        box.half = True
        for at in range(8):
            box.half = at < 4
            seen.append(values(await poller.poll("gw1")))
            clock.move(30)
        return seen

    first, *later = tell(box, story, ("system", "entPhySensor"), **HASTY)

    assert first == {"inlet": 25.0, "rxpower": 9000.0}
    assert all(each in (None, {}, first) for each in later)
    assert first in later


def test_a_change_that_no_walk_could_follow_is_not_forgotten() -> None:
    box = Box()

    async def story(poller: SnmpPoller, clock: ManualClock) -> list[Batch]:
        await poller.poll("gw1")
        for n in range(6):  # each is followed by a walk, and then there is none left
            box.change(box.renumbered(last=1000 + n))
            clock.move(30)
            assert octets(await poller.poll("gw1")) == TRUE
        gone = box.renumbered(last=2000)
        del gone[f"{IFX}.15.2"]  # with a cell that is no more
        box.change(gone)
        seen = []
        for _ in range(4):
            clock.move(10)
            seen.append(await poller.poll("gw1"))
        clock.move(600)
        return [*seen, await poller.poll("gw1")]

    assert none_then_all(tell(box, story), TOO_OFTEN)


def test_a_restart_is_seen_though_sysuptime_could_not_be_read_once() -> None:
    box = Box()

    async def story(poller: SnmpPoller, clock: ManualClock) -> Batch:
        await poller.poll("gw1")
        box.mib[UPTIME] = (Tag.OCTET_STRING, b"?")
        await poller.poll("gw1")
        box.mib[UPTIME] = (Tag.TIME_TICKS, 0)
        box.boot()
        box.change(box.renumbered())
        return await poller.poll("gw1")

    assert octets(tell(box, story)) == TRUE


async def swept(poller: SnmpPoller, names: tuple[str, ...]) -> tuple[dict[str, Batch], list[str]]:
    """Look at devices together; return who was seen like that, and who was named."""
    seen: dict[str, Batch] = {}
    named: list[str] = []
    async for told in poller.sweep(names):
        if isinstance(told, str):
            named.append(told)
        else:
            seen |= {batch.device: batch for batch in batches(told)}
    return seen, named


@pytest.mark.parametrize("together", [False, True])
def test_a_restart_nobody_saw_is_seen_though_the_device_is_up_for_longer_than_when_last_seen(
    together: bool,
) -> None:
    """Seen a minute after a start; started anew since, and seen 100 s after that."""
    boxes = {name: Box(up_s=60.0) for name in ("gw1", "gw2", "gw3", "gw4")}
    names = tuple(boxes)

    async def story(poller: SnmpPoller, clock: ManualClock) -> Any:
        for name in names * 2:
            await poller.poll(name)
        if together:
            assert set((await swept(poller, names))[0]) == set(names)
        clock.move(300)
        boxes["gw1"].boot(100.0)
        boxes["gw1"].change(boxes["gw1"].renumbered())
        seen, named = await swept(poller, names) if together else ({}, [])
        return seen, named, await poller.poll("gw1")

    seen, named, alone = tell(boxes, story)

    assert octets(alone) == TRUE
    if together:
        assert (set(seen), named) == (set(names) - {"gw1"}, ["gw1"])


def test_what_sweeps_saw_of_sysuptime_is_known_with_its_time_by_looks_alone() -> None:
    boxes = {name: Box(up_s=30.0) for name in ("gw1", "gw2", "gw3", "gw4")}

    async def story(poller: SnmpPoller, clock: ManualClock) -> Any:
        for name in (*boxes, *boxes):
            await poller.poll(name)
        clock.move(600)
        assert set((await swept(poller, tuple(boxes)))[0]) == set(boxes)
        clock.move(30)
        boxes["gw1"].boot(25.0)
        boxes["gw1"].change(boxes["gw1"].renumbered())
        before = poller.stats().walks
        restarted = await poller.poll("gw1")
        walks = poller.stats().walks - before
        await poller.poll("gw2")  # which has only gone on
        return restarted, walks, poller.stats().walks - before - walks

    restarted, *walks = tell(boxes, story, rewalk_s=86400)

    assert octets(restarted) == TRUE
    assert walks == [1, 0]


def test_a_device_that_restarted_is_named_once_and_the_others_never() -> None:
    boxes = {name: Box(up_s=30.0) for name in ("gw1", "gw2", "gw3", "gw4")}
    names = tuple(boxes)

    async def story(poller: SnmpPoller, clock: ManualClock) -> list[list[str]]:
        for name in names * 2:
            await poller.poll(name)
        told = []
        for moved in (0, 600, 30, 30, 30):
            clock.move(moved)
            told.append((await swept(poller, names))[1])
            for name in told[-1]:
                await poller.poll(name)
                await poller.poll(name)
            if len(told) == 2:
                boxes["gw1"].boot()
        return told

    assert tell(boxes, story, rewalk_s=86400) == [[], [], ["gw1"], [], []]


def test_devices_that_are_together_once_more_are_not_asked_what_they_were_asked_then() -> None:
    """A site's members come and go: a turn's devices are some, fewer, and the first ones again."""
    boxes = {f"gw{n}": Box() for n in range(8)}
    names = tuple(boxes)
    fewer = names[:6]

    async def story(poller: SnmpPoller, clock: ManualClock) -> Any:
        told: list[dict[str, Batch]] = []

        async def turns(some: tuple[str, ...]) -> None:
            for _ in range(3):
                clock.move(30)
                seen, named = await swept(poller, some)
                told.append(seen | {name: await poller.poll(name) for name in named})

        await turns(names)
        await turns(fewer)
        for name in fewer[:4]:  # nothing tells of it but the next walk
            boxes[name].change(boxes[name].renumbered())
        clock.move(1000)
        await turns(fewer)
        await turns(names)
        assert poller._sweeper is not None
        return told[6:], len(poller._sweeper._rosters), set(poller._sweeper._of)

    told, rosters, known = tell(boxes, story)

    assert all(octets(batch) == TRUE for seen in told for batch in seen.values())
    assert [len(seen) for seen in told] == [6] * 3 + [8] * 3
    assert rosters == 1
    assert known == set(names)


DAY, WRAP = 86400.0, float(2**32)


@pytest.mark.parametrize(
    ("before", "after", "elapsed_s", "anew"),
    [
        (100_000.0, 103_000.0, 30.0, False),  # as it should be
        (100_000.0, 99_999.0, 30.0, True),  # back
        (6_000.0, 10_000.0, 300.0, True),  # it must be at 360 s by now
        (100.0, 2_000.0, 30.0, True),  # up for 20 s, seen 30 s ago
        (100.0, 3_050.0, 30.0, False),
        (8_640_000.0, 8_640_000.0, DAY, False),  # stands still
        (0.0, 0.0, 30.0, False),
        (90_000_000.0, 90_100_000.0, DAY, False),  # far too slow, yet older than a day
        (500_000.0, 500_000.0 + 2_760.0, 30.0, False),  # slow
        (6_000.0, 9_400.0, 30.0, False),  # fast
        (1_000.0, 3_700.0, 30.0, False),  # young, and kept by the agent for some seconds
        (WRAP - 1_000.0, 2_000.0, 30.0, True),  # wrapped: a walk for nothing, once in 497 days
        (0.0, 12_345.0, -np.inf, False),  # not seen before
    ],
)
def test_sysuptime_has_begun_anew_where_nothing_else_explains_it(
    before: float, after: float, elapsed_s: float, anew: bool
) -> None:
    assert bool(began_anew(before, after, elapsed_s)) is anew
    many = began_anew(*(np.array([one] * 3) for one in (before, after, elapsed_s)))
    assert many.tolist() == [anew] * 3


def test_a_clock_that_stands_still_costs_no_walk() -> None:
    box = Box()

    async def story(poller: SnmpPoller, clock: ManualClock) -> Any:
        box.clock = None
        for _ in range(10):
            clock.move(30)
            got = await poller.poll("gw1")
        return got, poller.stats().walks

    got, walks = tell(box, story)

    assert octets(got) == TRUE
    assert walks == 2


@pytest.mark.parametrize("version", ["1", "2c"])
def test_a_row_whose_index_is_too_long_to_be_asked_for_costs_no_other(version: str) -> None:
    box = Box()
    box.change(box.mib | {f"{IF}.2.{'.'.join(['200'] * 70)}": (Tag.OCTET_STRING, b"long")})

    async def story(poller: SnmpPoller, clock: ManualClock) -> Any:
        poller._targets["gw1"] = poller._targets["gw1"].model_copy(
            update={"credentials": credentials(version)}
        )
        return await poller.poll("gw1")

    got = tell(box, story)

    assert len(ports(got).layout.rows) == 4
    assert got.errors["if.ifDescr"] == "rows of too long an index"
