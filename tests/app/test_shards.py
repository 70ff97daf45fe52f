"""Polling processes that die, are told something new, and count."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import uvloop

from collectors.snmp_poll import SnmpPoller
from collectors.snmp_poll.settings import SnmpPollSettings, Target
from netopsd import shard_frames
from netopsd.clock import SystemClock
from netopsd.core.fleet import Fleet, Grid, Member, Part, batches
from netopsd.core.model import Batch, Blind, Clocks, Layout, Sweep, Table
from netopsd.errors import CannotLook
from netopsd.ports import Clock
from netopsd.settings import load
from netopsd.shards import Shards
from tests.collectors.snmp_poll.agent import Agent, switch
from tests.collectors.snmp_poll.test_lies import TABLES, credentials

SETTINGS = SnmpPollSettings(timeout_s=2.0)


def target(name: str, port: int) -> Target:
    return Target(name=name, address="127.0.0.1", port=port, credentials=credentials())


async def with_shards(
    story: Callable[[Shards, Agent], Awaitable[None]], clock: Clock | None = None
) -> None:
    async with Agent(switch(4)) as agent:
        targets = {name: target(name, agent.port) for name in ("a", "b", "c", "d")}
        shards = Shards(2, SETTINGS, TABLES, targets, clock or SystemClock())
        await shards.start()
        try:
            await story(shards, agent)
        finally:
            await shards.close()


def children() -> list[int]:
    said = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    found = []
    for pid in said.split():
        with suppress(FileNotFoundError, ProcessLookupError):  # gone meanwhile
            if b"shard_child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


async def seen(shards: Shards, device: str) -> Batch:
    """Return a look at `device`, once its process is there again."""
    async with asyncio.timeout(30):
        while True:
            with suppress(CannotLook):
                return await shards.poll(device)
            await asyncio.sleep(0.05)


def test_a_look_through_a_shard_is_the_look_itself() -> None:
    async def story(shards: Shards, agent: Agent) -> None:
        poller = SnmpPoller(SETTINGS, TABLES, {"a": target("a", agent.port)}, SystemClock())
        await poller.start()
        plain, looks = await poller.poll("a"), [await shards.poll("a") for _ in range(2)]
        await poller.close()
        for look in looks:
            assert (look.device, look.clocks, look.facts) == ("a", plain.clocks, plain.facts)
            assert look.errors == plain.errors
            for ours, theirs in zip(look.tables, plain.tables, strict=True):
                assert ours.layout.labels == theirs.layout.labels
                assert ours.layout.rows == theirs.layout.rows
                assert np.array_equal(ours.counters, theirs.counters)
                assert np.array_equal(ours.gauges, theirs.gauges, equal_nan=True)
        first, second = looks
        assert first.tables[-1].layout is second.tables[-1].layout
        assert second.at > first.at

    asyncio.run(with_shards(story))


def test_a_killed_process_says_nothing_of_its_devices_and_is_started_anew() -> None:
    async def story(shards: Shards, agent: Agent) -> None:
        for name in "abcd":
            await shards.poll(name)
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(CannotLook) as blind:
            await shards.poll("a")
        assert blind.value.why is Blind.SKIPPED
        before = shards.stats().walks
        assert (await seen(shards, "a")).tables
        assert shards.stats().walks >= before

    asyncio.run(with_shards(story))


def test_a_new_configuration_reaches_the_processes() -> None:
    async def story(shards: Shards, agent: Agent) -> None:
        with pytest.raises(CannotLook) as unknown:
            await shards.poll("e")
        assert unknown.value.why is Blind.SKIPPED
        await shards.retarget({"e": target("e", agent.port)}, TABLES)
        assert (await shards.poll("e")).tables

    asyncio.run(with_shards(story))


def test_a_process_that_could_not_be_started_is_started_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No descriptor, no memory, no process left: for now."""

    async def story(shards: Shards, agent: Agent) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        former = children()
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, hard))  # what is open stays so
        try:
            for pid in former:
                os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(20):
                while caplog.text.count("cannot be started") < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for name in "abcd":
            assert (await seen(shards, name)).tables

    asyncio.run(with_shards(story))


def test_a_configuration_read_while_a_process_is_starting_reaches_it() -> None:
    async def story(shards: Shards, agent: Agent) -> None:
        before = children()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while len(fresh := set(children()) - set(before)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for pid in fresh:  # still importing: they shall not get further for now
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(0.2)  # both are told what was known until now
        await shards.retarget({name: target(name, agent.port) for name in "abcdef"}, TABLES)
        for pid in fresh:
            os.kill(pid, signal.SIGCONT)
        for name in "abcdef":
            assert (await seen(shards, name)).tables

    asyncio.run(with_shards(story))


def test_a_configuration_read_just_when_processes_died_is_the_next_ones() -> None:
    async def story(shards: Shards, agent: Agent) -> None:
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        for _ in range(2000):  # at every moment of what follows
            await shards.retarget({name: target(name, agent.port) for name in "ef"}, TABLES)
            await asyncio.sleep(0)
        for name in "ef":
            assert (await seen(shards, name)).tables

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the daemon's
        runner.run(with_shards(story))


class Hurried(SystemClock):
    """Waits an eighth of what it is asked to."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 8)


def test_a_process_that_hangs_is_ended_and_another_one_looks() -> None:
    async def story(shards: Shards, agent: Agent) -> None:
        before = children()
        for pid in before:
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(CannotLook) as blind:
            await shards.poll("a")
        assert blind.value.why is Blind.SKIPPED
        assert (await seen(shards, "a")).tables
        assert not set(before) & set(children())

    asyncio.run(with_shards(story, Hurried()))


def test_a_process_that_takes_long_to_start_is_let_be(caplog: pytest.LogCaptureFixture) -> None:
    class Ahead(SystemClock):
        """A minute of waiting is over before any process can have begun."""

        def __init__(self) -> None:
            super().__init__()
            self.ahead_s = 120.0  # for two processes

        async def sleep(self, seconds: float) -> None:
            self.ahead_s -= seconds
            await super().sleep(0.001 if self.ahead_s > 0 else seconds)

    async def story(shards: Shards, agent: Agent) -> None:
        assert (await shards.poll("a")).tables

    asyncio.run(with_shards(story, Ahead()))
    assert "says nothing" not in caplog.text


NINE = tuple("abcdefghi")


async def together(shards: Shards) -> tuple[list[Sweep], set[str]]:
    told = [one async for one in shards.sweep(NINE)]
    named = {one for one in told if isinstance(one, str)}
    return [one for one in told if isinstance(one, Sweep)], named


async def with_nine(story: Callable[[Shards, Agent], Awaitable[None]]) -> None:
    """Two shards of four devices at least, all known."""
    async with Agent(switch(4)) as agent:
        targets = {name: target(name, agent.port) for name in NINE}
        shards = Shards(2, SETTINGS, TABLES, targets, SystemClock())
        await shards.start()
        try:
            for name in NINE * 2:
                await shards.poll(name)
            await story(shards, agent)
        finally:
            await shards.close()


def test_a_sweep_through_shards_has_the_layouts_and_numbers_of_single_looks() -> None:
    async def story(shards: Shards, agent: Agent) -> None:
        first, _ = await together(shards)
        sweeps, named = await together(shards)
        looks = {batch.device: batch for sweep in sweeps for batch in batches(sweep)}
        assert len(sweeps) == 2
        assert looks.keys() | named == set(NINE)
        assert len(looks) == 9
        assert {id(sweep.fleet) for sweep in sweeps} == {id(sweep.fleet) for sweep in first}
        for name, look in looks.items():
            alone = await shards.poll(name)
            assert (look.clocks, look.facts, look.errors) == (
                alone.clocks,
                alone.facts,
                alone.errors,
            )
            for ours, theirs in zip(look.tables, alone.tables, strict=True):
                assert ours.layout is theirs.layout
                assert np.array_equal(ours.counters, theirs.counters)
                assert np.array_equal(ours.gauges, theirs.gauges, equal_nan=True)
            assert alone.at > look.at
            assert alone.mono_s > look.mono_s

    asyncio.run(with_nine(story))


def test_a_process_killed_in_a_sweep_leaves_nobody_out() -> None:
    async def story(shards: Shards, agent: Agent) -> None:
        agent.tamper = lambda said: []  # nobody answers any more
        sweeping = asyncio.create_task(together(shards))
        await asyncio.sleep(0.2)
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        sweeps, named = await asyncio.wait_for(sweeping, 60)
        assert (sweeps, named) == ([], set(NINE))
        with pytest.raises(CannotLook):
            await shards.poll("a")
        assert await asyncio.wait_for(together(shards), 60) == ([], set(NINE))

    asyncio.run(with_nine(story))


def test_a_fleet_that_is_gone_is_forgotten_on_both_sides() -> None:
    def fleet(name: str) -> Fleet:
        part = Part(
            Layout(
                table="t", rows=("1",), index=("1",), labels={}, counters=("c", "d"),
                widths=(64, 32), gauges=(),
            ),
            Grid(1, 1, (2, 1), np.array([1]), np.array([[True], [False]])),
            Grid(2, 0, (0, 1), None, None),
        )  # fmt: skip
        clocks = {"sys_uptime_ticks": 0}
        return Fleet.of((Member(device=name, size=2, parts=(part,), clocks=clocks),))

    teller, reader = shard_frames.Teller(), shard_frames.Reader(SystemClock())
    for name in "abc":
        one = fleet(name)
        for value in (5, 6):
            sweep = Sweep(
                at=SystemClock().now(), mono_s=1.0, fleet=one, present=np.array([True]),
                when_s=np.array([1.0]), took_s=np.array([0.5]),
                numbers=np.array([value, value + 1, 0], np.uint64),
            )  # fmt: skip
            said = reader.said(teller.sweep(9, sweep)[4:])
            assert said.sweep is not None
            (got,), (told,) = batches(said.sweep), batches(sweep)
            assert (got.device, got.clocks, got.took_s) == (name, told.clocks, 0.5)
            assert got.tables[0].counters.tolist() == [[0], [value + 1]]
            assert got.tables[0].missing is not None
            assert got.tables[0].missing.tolist() == [[True], [False]]
            del said, sweep, got, told
        del one
    assert len(reader._fleets._known) <= 2
    assert len(teller._fleets._known) <= 2


def test_what_is_missing_travels() -> None:
    layout = Layout(
        table="if", rows=("a", "b"), index=("1", "2"), labels={"ifName": ("a", "b")},
        counters=("x",), widths=(64,), gauges=("y", "z"), epoch=3,
    )  # fmt: skip
    table = Table(
        layout,
        np.array([[2**64 - 1, 7]], np.uint64),
        np.array([[1.5, np.nan], [np.nan, 2.0]]),
        np.array([[False, True]]),
    )
    clock = SystemClock()
    look = Batch(
        device="d", at=clock.now(), mono_s=clock.mono_s(), tables=(table,),
        clocks=Clocks(engine_boots=4), errors={"if.x": "noSuchInstance"},
    )  # fmt: skip
    frame = shard_frames.Teller().look(5, look)
    said = shard_frames.Reader(clock).said(frame[4:])

    assert said.number == 5
    assert isinstance(said.look, Batch)
    (got,) = said.look.tables
    assert got.layout.epoch == 3
    assert np.array_equal(got.counters, table.counters)
    assert np.array_equal(got.gauges, table.gauges, equal_nan=True)
    assert got.missing is not None
    assert got.missing.tolist() == [[False, True]]
    assert (said.look.clocks, said.look.errors) == (look.clocks, look.errors)


def test_polling_processes_are_configured() -> None:
    shipped = Path(__file__).parents[2] / "config"

    assert load(shipped).poll.workers == 0
    assert load(shipped, ["poll.workers=3"]).poll.workers == 3
