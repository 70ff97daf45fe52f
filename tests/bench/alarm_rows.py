"""The alarm engine: decisions a second in memory beside 100,000 active alarms, and durable ones."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from netopsd import garbage
from netopsd.core import engine
from netopsd.core.beliefs import Phase
from netopsd.core.inventory import Device, EventRule, Inventory, Policy
from netopsd.core.model import Event, Events
from netopsd.core.outcome import Beliefs
from netopsd.core.restore import restore
from netopsd.core.world import World
from netopsd.store.sqlite import SqliteStore
from tests.bench.store_rows import T0, alarm

DOWN, UP = "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.6.3.1.1.5.4"
INDEX = "1.3.6.1.2.1.2.2.1.1"
GROUP = 512  # events the trap listener hands over at once


def run(quick: bool = False) -> dict[str, Any]:
    """Return decisions a second: each an event that raises an alarm, or clears it."""
    garbage.tune()  # as the daemon does
    active = 10_000 if quick else 100_000
    many = 10_000 if quick else 100_000
    memory = decisions(world_of(active), many)
    with tempfile.TemporaryDirectory(prefix="netopsd-alarms-", dir="/var/tmp") as tmp:
        durable = asyncio.run(stored(world_of(active), many, Path(tmp) / "netopsd.db"))
    return {
        "active_alarms": active,
        "decisions_per_s": memory,
        "durable_raises_and_clears_per_s": durable,
        "must": "50,000/s in memory, 10,000/s durable",
        "aim": "100,000/s in memory",
        "met": {"must": memory >= 50_000 and durable >= 10_000, "aim": memory >= 100_000},
        "how": f"authenticated linkDown and linkUp events, {GROUP} an input as the listener hands "
        "them over, decided and believed; durable: decided, committed with history (fsync), "
        "believed; CPU seconds in memory, wall seconds when durable",
    }


def world_of(active: int) -> World:
    """Return a world of 10,000 devices with so many active alarms."""
    names = [f"gw-{n:05}" for n in range(10_000)]
    rule = EventRule(name=DOWN, alarm="told-down", table="if", row_from=INDEX, verify_after_s=())
    back = EventRule(
        name=UP, alarm="", clears="told-down", table="if", row_from=INDEX, verify_after_s=()
    )
    inventory = Inventory(
        devices={name: Device(name=name) for name in names},
        events=(rule, back),
        policy=Policy(flap_raise=1e9),
    )
    alarms = [alarm(n, T0, Phase.ACTIVE, 1) for n in range(active)]
    return restore(inventory, Beliefs(alarms={one.key: one for one in alarms}))


def told(many: int) -> list[Events]:
    """Return `many` events: raises of different ports, then the clears of the same."""
    half = many // 2
    events = []
    for n in range(many):
        port = n % half
        at = T0 + timedelta(hours=1, milliseconds=n)
        name = DOWN if n < half else UP
        values = {f"{INDEX}.{port // 10_000 + 1}": str(port // 10_000 + 1)}
        device = f"gw-{port % 10_000:05}"
        events.append(
            Event(
                at=at, device=device, source="10.0.0.1", name=name, values=values,
                authenticated=True,
            )
        )  # fmt: skip
    return [
        Events(at=events[min(i + GROUP, many) - 1].at, items=tuple(events[i : i + GROUP]))
        for i in range(0, many, GROUP)
    ]


def decisions(world: World, many: int) -> int:
    """Return decisions per CPU second, all believed."""
    inputs = told(many)
    gc.collect()
    began = time.process_time()
    for said in inputs:
        world.apply(engine.decide(world, said))
    took = time.process_time() - began
    moved = [a for _, a in world.alarms.items() if a.alarm == "told-down"]
    assert len(moved) == many // 2, len(moved)
    assert all(a.phase is Phase.CLEARED for a in moved)
    return round(many / took)


async def stored(world: World, many: int, path: Path) -> int:
    """Return raises and clears per second, each on the disk before it is believed."""
    inputs = told(many)
    store = SqliteStore(f"sqlite:///{path}", ballast_bytes=0)
    await store.open()
    gc.collect()
    began = time.perf_counter()
    for said in inputs:
        outcome = engine.decide(world, said)
        await store.commit([outcome], [])
        world.apply(outcome)
    took = time.perf_counter() - began
    await store.close()
    return round(many / took)
