"""Service orders per second: three simulated devices each, in one process, store in memory.

    python -m tests.bench.orders

Device and daemon share the one core, so the CPU is that of both ends. `one_set`: all orders on the
same three devices, one after the other. `core`: decisions alone, from placed to completed.
"""

from __future__ import annotations

import asyncio
import json
import time

from netopsd.core.engine import decide
from netopsd.core.inventory import Device, Inventory
from netopsd.core.model import OrderProgress, PlaceOrder
from netopsd.core.ordered import Order, OrderState, Progress
from netopsd.core.restore import restore
from tests.collectors.netconf.orders import House, house, item

MANY = 40


async def one_set(one: House) -> dict[str, float]:
    began, cpu = time.perf_counter(), time.process_time()
    for n in range(MANY):
        await one.place(item(service=f"s{n}", vlan=str(n + 1)), id=f"SO-{n}")
    for n in range(MANY):
        assert await one.ended(f"SO-{n}", 120) is OrderState.COMPLETED, one.why(f"SO-{n}")
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"orders_per_s": round(MANY / took, 2), "cpu_ms_per_order": round(cpu / MANY * 1e3, 1)}


def core(services: int) -> dict[str, float]:
    world = restore(Inventory(devices={name: Device(name=name) for name in ("r1", "r2", "r3")}))
    orders = [item(service=f"s{n}") for n in range(services)]
    began = time.perf_counter()
    for n, one in enumerate(orders):
        at, id = one.changed_at, f"SO-{n}"
        order = Order(id=id, sha256=id, items=(), placed_by="", placed_at=at, changed_at=at)
        said = [PlaceOrder(at=at, by="b", order=order, items=(one,))]
        said += [
            OrderProgress(at=at, order=id, item="1", what=what, attempt=1)  # type: ignore[list-item]
            for what in (Progress.BEGUN, Progress.DECIDED, Progress.CONFIRMED)
        ]
        for each in said:
            world.apply(decide(world, each))
    took = time.perf_counter() - began
    return {"services": services, "orders_per_s": round(services / took)}


async def main() -> None:
    async with house() as one:
        found = {"three_devices": await one_set(one), "core": [core(100), core(1000)]}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
