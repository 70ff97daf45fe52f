"""What a look costs on its way: `python -m tests.collectors.mqtt.measure` prints JSON."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from collectors.mqtt import wire
from collectors.mqtt.packing import Packing
from collectors.mqtt.spool import Cursor, Spool
from netopsd.core.model import Layout
from tests.collectors.mqtt.looks import layout, look

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


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(measure(Path(folder))), indent=1))
