"""One story seen in several ways: quickly, plainly, in several processes, one by one, in groups.

Whatever way the numbers came and were judged, the alarms, their history and the usage are the same,
to the octet.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from collectors.snmp_codec.ber import Tag
from collectors.snmp_poll import SnmpPoller
from collectors.snmp_poll.settings import SnmpPollSettings, Target
from netopsd.clock import SystemClock
from netopsd.core import engine
from netopsd.core.beliefs import Alarm, Change, Meter, UsageRecord
from netopsd.core.inventory import Inventory, Policy
from netopsd.core.model import Batch, Input, Sweep, Tick
from netopsd.core.outcome import Outcome
from netopsd.core.restore import restore
from netopsd.core.world import World
from netopsd.shards import Shards, shard_of
from tests.collectors.snmp_poll.agent import IF, IFX, Agent, switch
from tests.collectors.snmp_poll.secure_agent import SecureAgent
from tests.collectors.snmp_poll.test_lies import TABLES, credentials
from tests.core.network import HOT, LINK_DOWN, gold, inventory, port

T0 = datetime(2026, 11, 23, 10, tzinfo=UTC)
STEP_S = 30.0
STEPS = 36
DEVICES = ("gw1", "gw2", "gw3", "gw4", "gw7", "gw8", "osl1", "osl2", "osl5", "osl6")
PORTS = 5


def network() -> Inventory:
    ports = [port(device, f"ge-0/0/{n}") for device in DEVICES for n in range(PORTS)]
    services = [gold(f"s{i}", (one,), meters=(one,)) for i, one in enumerate(ports)]
    policy = Policy(checkpoint_s=60.0, unreachable_after=2)
    return inventory(
        dict.fromkeys(DEVICES, ()), services=services, policy=policy, rules=(LINK_DOWN, HOT)
    )


class Story:
    """What ten switches do: traffic, ports going down, a reboot, counters starting anew."""

    def __init__(self) -> None:
        self.dice = random.Random(20261123)
        self.mibs: dict[str, dict[str, Any]] = {name: switch(PORTS) for name in DEVICES}
        for mib in self.mibs.values():
            for row in range(1, PORTS + 1):
                mib[f"{IF}.8.{row}"] = (Tag.INTEGER, 1)

    def go_on(self, step: int) -> None:
        dice = self.dice
        for name, mib in self.mibs.items():
            ticks = mib["1.3.6.1.2.1.1.3.0"][1] + int(STEP_S * 100)
            if name == "gw2" and step == 20:  # it reboots: its counters begin again
                ticks = 1000
                mib |= {oid: (t, 0) for oid, (t, _) in mib.items() if t in (0x41, 0x46)}
            mib["1.3.6.1.2.1.1.3.0"] = (Tag.TIME_TICKS, ticks)
            for row in range(1, PORTS + 1):
                for column in (6, 10):
                    was = mib[f"{IFX}.{column}.{row}"][1]
                    grown = dice.choice(
                        (0, 1, dice.randrange(10**6), dice.randrange(3_600_000_000))
                    )
                    mib[f"{IFX}.{column}.{row}"] = (Tag.COUNTER64, (was + grown) % 2**64)
                if dice.random() < 0.08:
                    mib[f"{IF}.8.{row}"] = (Tag.INTEGER, dice.choice((1, 2, 7)))


@dataclass(slots=True)
class Told:
    """All that came of it."""

    alarms: dict[str, Alarm] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    usage: list[UsageRecord] = field(default_factory=list)
    meters: dict[tuple[str, str], Meter] = field(default_factory=dict)

    def hear(self, outcome: Outcome) -> None:
        self.alarms |= outcome.alarms
        self.changes += outcome.changes
        self.usage += outcome.usage
        self.meters |= outcome.meters


def one_by_one(groups: Sequence[Sequence[Input]]) -> Told:
    world, told = restore(network()), Told()
    for said in (one for group in groups for one in group):
        outcome = engine.decide(world, said)
        world.apply(outcome)
        told.hear(outcome)
    return told


def in_groups(groups: Sequence[Sequence[Input]]) -> Told:
    """As the pipeline does: judged on a draft, believed together."""
    world, told = restore(network()), Told()
    for group in groups:
        draft: World = world.draft()
        for said in group:
            draft.apply(engine.decide(draft, said))
        world.apply(draft.out)
        told.hear(draft.out)
    return told


async def seen_by(way: str) -> list[list[Input]]:
    """Return the story's looks as one way of polling saw them, all at the same moments."""
    story, clock = Story(), SystemClock()
    every = {name: spec.model_copy(update={"every": 0.0}) for name, spec in TABLES.items()}
    kind = SecureAgent if way == "SNMPv3" else Agent
    async with AsyncExitStack() as closing:
        agents = {
            name: await closing.enter_async_context(kind(mib)) for name, mib in story.mibs.items()
        }
        targets = {
            name: Target(
                name=name,
                address="127.0.0.1",
                port=agent.port,
                credentials=credentials("3" if way == "SNMPv3" else "2c"),
                tables=("system", "if"),
                engine=way if way in ("gufo", "pysnmp") else "planned",
            )
            for name, agent in agents.items()
        }
        settings = SnmpPollSettings(timeout_s=5.0)
        poller = (
            Shards(2, settings, every, targets, clock)
            if "shards" in way
            else SnmpPoller(settings, every, targets, clock)
        )
        await poller.start()
        closing.push_async_callback(poller.close)
        groups: list[list[Input]] = []
        for step in range(STEPS):
            story.go_on(step)
            at, mono_s = T0 + timedelta(seconds=STEP_S * step), STEP_S * step
            for name, agent in agents.items():
                agent.change(story.mibs[name])
            looks: list[Input] = []
            names = list(DEVICES)
            if way.startswith("together"):
                sweeps, names = await together(poller)
                nobody = np.zeros(len(DEVICES))
                looks += [
                    dataclasses.replace(
                        one,
                        at=at,
                        mono_s=mono_s,
                        when_s=nobody[: len(one.fleet.names)] + mono_s,
                        took_s=nobody[: len(one.fleet.names)],
                    )
                    for one in sweeps
                ]
            for name in names:
                look: Batch = await poller.poll(name)
                looks.append(dataclasses.replace(look, at=at, mono_s=mono_s, took_s=0.0))
            looks.append(Tick(at + timedelta(seconds=1), mono_s + 1))
            groups.append(looks)
        return groups


async def together(poller: SnmpPoller | Shards) -> tuple[list[Sweep], list[str]]:
    """Return the sweeps of one turn, and who has to be looked at by itself."""
    told = [one async for one in poller.sweep(DEVICES)]
    names = {one for one in told if isinstance(one, str)}
    return [one for one in told if isinstance(one, Sweep)], [n for n in DEVICES if n in names]


@pytest.fixture(scope="module")
def quick() -> list[list[Input]]:
    return asyncio.run(seen_by("planned"))


def test_groups_are_judged_as_one_by_one(quick: list[list[Input]]) -> None:
    together, alone = in_groups(quick), one_by_one(quick)

    assert together == alone
    assert len(alone.changes) > 20
    assert len(alone.usage) >= 3 * PORTS * 3


@pytest.mark.parametrize("way", ["gufo", "pysnmp", "SNMPv3", "shards"])
def test_other_ways_to_poll_give_the_same_alarms_and_octets(
    quick: list[list[Input]], way: str
) -> None:
    assert in_groups(asyncio.run(seen_by(way))) == in_groups(quick)


@pytest.mark.parametrize("way", ["together", "together in shards"])
def test_devices_asked_and_judged_together_give_the_same_alarms_and_octets(
    quick: list[list[Input]], way: str
) -> None:
    groups = asyncio.run(seen_by(way))
    sweeps = [said for group in groups for said in group if isinstance(said, Sweep)]

    told, alone = one_by_one(groups), one_by_one(quick)

    assert sum(int(np.count_nonzero(sweep.present)) for sweep in sweeps) > 3 * STEPS
    for each in (told, alone):  # who was looked at by itself was judged after the others
        each.changes.sort(key=lambda c: (c.at, c.alarm))
        each.usage.sort(key=lambda u: u.key)
    assert told == alone


def test_every_octet_is_in_the_usage_or_in_a_named_gap(quick: list[list[Input]]) -> None:
    """The counters of a device that did not reboot, from first look to last."""
    told = one_by_one(quick)
    looks = [look for group in quick for look in group if isinstance(look, Batch)]
    for device in ("gw1", "osl1"):
        tables = [
            next(t for t in look.tables if t.layout.table == "if")
            for look in looks
            if look.device == device
        ]
        at = tables[0].layout.counters.index("ifHCInOctets")
        for row, name in enumerate(tables[0].layout.rows):
            key = next(k for k in told.meters if k[1] == f"{device}/if/{name}")
            records = [u for u in told.usage if u.service == key[0]]
            grown = int(tables[-1].counters[at, row]) - int(tables[0].counters[at, row])
            gaps = [gap for u in records for gap in u.gaps if "not yet metered" not in gap]
            booked = sum(u.in_octets for u in records)
            meter = told.meters[key]
            assert gaps or booked + meter.slot_in == grown - _later(tables, at, row, meter)


def _later(tables: Sequence[Any], at: int, row: int, meter: Meter) -> int:
    """Octets since the meter was last stored: it is stored now and then."""
    return int(tables[-1].counters[at, row]) - meter.in_octets


def test_the_story_is_in_both_shards() -> None:
    assert {shard_of(name, 2) for name in DEVICES} == {0, 1}
