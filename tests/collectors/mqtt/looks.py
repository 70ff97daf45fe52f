"""Looks such as an SNMP poller makes, for tests of their way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from netopsd.core.model import Batch, Clocks, Layout, Table

T0 = datetime(2026, 11, 23, 10, tzinfo=UTC)


def layout(rows: int = 48, columns: int = 6, gauges: int = 4, table: str = "if") -> Layout:
    names = tuple(f"ge-0/0/{i}" for i in range(rows))
    return Layout(
        table=table,
        rows=names,
        index=tuple(str(i + 1) for i in range(rows)),
        labels={"ifName": names, "ifAlias": tuple(f"customer {i}" for i in range(rows))},
        counters=tuple(f"c{i}" for i in range(columns)),
        widths=(64,) * columns,
        gauges=tuple(f"g{i}" for i in range(gauges)),
        epoch=1,
    )


def look(device: str, shape: Layout, n: int = 0, *, seed: int = 1) -> Batch:
    """Return the nth look, one every 30 s; counters grow as traffic makes them."""
    random = np.random.default_rng(seed)
    rates = random.lognormal(16, 2, (len(shape.counters), len(shape.rows)))
    base = random.integers(0, 1 << 44, rates.shape, dtype=np.uint64)
    jitter = np.random.default_rng(n).normal(1, 0.2, rates.shape)
    counters = base + (rates * 30 * (n + jitter)).astype(np.uint64)
    gauges = np.ones((len(shape.gauges), len(shape.rows)))
    if len(gauges):
        gauges[-1] = 10_000.0
    return Batch(
        device=device,
        at=T0 + timedelta(seconds=30 * n),
        mono_s=1000.0 + 30 * n,
        took_s=0.02,
        tables=(Table(shape, counters, gauges),),
        clocks=Clocks(sys_uptime_ticks=123456 + 3000 * n),
        facts={"sysName": device, "sysDescr": "a router of the simulated kind"},
    )
