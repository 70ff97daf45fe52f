"""What a look costs on its way: `python -m tests.collectors.mqtt.measure` prints JSON."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from collectors.mqtt import wire
from collectors.mqtt.packing import Packing
from collectors.mqtt.publisher import Publisher
from collectors.mqtt.sites import SiteIntake
from collectors.mqtt.spool import Cursor, Spool
from collectors.mqtt.topics import Collector
from netopsd.broker_settings import BrokerSettings
from netopsd.clock import SystemClock
from netopsd.core.model import Batch, Input, Layout
from tests.collectors.mqtt.looks import layout, look
from tests.e2e.broker import running

DEVICES, LOOKS, PORTS, COUNTERS, GAUGES = 64, 20, 48, 6, 4


async def measure(folder: Path) -> dict[str, float]:
    shapes = [layout(PORTS, COUNTERS, GAUGES) for _ in range(DEVICES)]
    rounds = [
        [look(f"d{i}", shape, n, seed=i) for i, shape in enumerate(shapes)] for n in range(LOOKS)
    ]
    spool = Spool(folder, 1 << 30)
    spool.open("measure")
    packing = Packing(spool, lambda: None, DEVICES, 10)
    began = time.process_time()
    for batches in rounds:
        for batch in batches:
            await packing.put(batch)
    packing_s = time.process_time() - began
    cursor, records = Cursor(spool, 0), []
    while (record := cursor.next()) is not None:
        records.append(record)
    cursor.close()
    known: dict[bytes, Layout] = {}
    for record in records:
        known |= wire.definitions(record.definitions)
    began = time.process_time()
    found = sum(len(wire.looks(record.looks, known)) for record in records)
    reading_s = time.process_time() - began
    spool.close()
    octets = spool.stats.octets / found
    return {
        "values_per_look": PORTS * (COUNTERS + GAUGES),
        "octets_per_look": round(octets, 1),
        "packed_looks_per_cpu_s": round(found / packing_s),
        "read_looks_per_cpu_s": round(found / reading_s),
        "octets_72h_1000_devices_30s": round(octets * 1000 * 72 * 120),
    }


class Sea:
    """An inbox that keeps nothing but the count."""

    looks = 0

    async def put(self, said: Input) -> None:
        self.looks += isinstance(said, Batch)

    def offer(self, said: Input) -> bool:
        return said is None

    async def durable(self, said: Input) -> None:
        await self.put(said)


async def through_a_broker(folder: Path, port: int) -> dict[str, float]:
    """Return looks a second from a full spool through mosquitto into an inbox, one core for all."""
    clock, sea = SystemClock(), Sea()
    shapes = [layout(PORTS, COUNTERS, GAUGES) for _ in range(DEVICES)]
    spool = Spool(folder / "spool", 1 << 30)
    spool.open("measure")
    packing = Packing(spool, lambda: None, DEVICES, 10)
    for n in range(20 * LOOKS):
        for i, shape in enumerate(shapes):
            await packing.put(look(f"d{i}", shape, n % LOOKS, seed=i))
    own = BrokerSettings(host="127.0.0.1", port=port)
    devices = {f"d{i}": "s" for i in range(DEVICES)}
    intake = SiteIntake(own, "n", devices, clock, folder)
    me = Collector(root="n", site="s", name="c")
    publisher = Publisher(own, me, spool, clock, 5.0, lambda _: None)
    tasks = [asyncio.create_task(intake.listen(sea))]
    while not intake.connected:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    began, cpu = time.monotonic(), time.process_time()
    tasks.append(asyncio.create_task(publisher.run()))
    while sea.looks < 20 * LOOKS * DEVICES:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    took, used = time.monotonic() - began, time.process_time() - cpu
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    spool.close()
    return {
        "broker_looks_per_s": round(sea.looks / took),
        "broker_looks_per_cpu_s": round(sea.looks / used),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "broker") as broker:
        told = asyncio.run(measure(Path(name) / "alone"))
        told |= asyncio.run(through_a_broker(Path(name), broker.port))
        print(json.dumps(told, indent=1))
