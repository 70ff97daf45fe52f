"""Polling processes that die, are told something new, and count."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from collectors.snmp_poll import SnmpPoller
from collectors.snmp_poll.settings import SnmpPollSettings, Target
from netopsd import shard_frames
from netopsd.clock import SystemClock
from netopsd.core.model import Batch, Blind, Clocks, Layout, Table
from netopsd.errors import CannotLook
from netopsd.settings import load
from netopsd.shards import Shards
from tests.collectors.snmp_poll.agent import Agent, switch
from tests.collectors.snmp_poll.test_lies import TABLES, credentials

SETTINGS = SnmpPollSettings(timeout_s=2.0)


def target(name: str, port: int) -> Target:
    return Target(name=name, address="127.0.0.1", port=port, credentials=credentials())


async def with_shards(story: Callable[[Shards, Agent], Awaitable[None]]) -> None:
    async with Agent(switch(4)) as agent:
        targets = {name: target(name, agent.port) for name in ("a", "b", "c", "d")}
        shards = Shards(2, SETTINGS, TABLES, targets, SystemClock())
        await shards.start()
        try:
            await story(shards, agent)
        finally:
            await shards.close()


def children() -> list[int]:
    said = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [
        int(pid) for pid in said.split() if b"shards" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


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
        async with asyncio.timeout(15):
            while True:
                try:
                    again = await shards.poll("a")
                    break
                except CannotLook:
                    await asyncio.sleep(0.05)
        assert again.tables
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
