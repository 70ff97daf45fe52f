"""How much one core watches: 10,000 devices of 48 ports and 10 columns, one in twenty dead.

The farm is `tests.bench.agent` on the other core: real agents on this machine could not answer so
much. The daemon alone has the first core.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import daemon, processes

DEAD_EVERY = 20


def run(quick: bool = False) -> dict[str, Any]:
    """Return a row for each interval tried: values a second, lateness, memory, false alarms."""
    sizes = ((300, 3.0, 2.0),) if quick else ((10_000, 30.0, 3.0), (10_000, 12.0, 6.0))
    rows = [measure(*size) for size in sizes]
    good = [
        row["lateness_p99_s"] < 2 and not row["false_alarms"] and row["rss_mb"] <= 1536
        for row in rows
    ]
    return {
        "rows": rows,
        "must": "10,000 devices every 30 s: p99 lateness < 2 s, no false alarm, RSS <= 1.5 GB",
        "aim": "every 12 s",
        "met": {"must": good[0], "aim": good[-1] and not quick},
        "how": "daemon pinned to one core, the agents (a stub that repeats encoded answers) to "
        "the other; lateness from the daemon's own histogram, an upper bound",
    }


def measure(devices: int, interval_s: float, cycles: float) -> dict[str, Any]:
    """Return what was seen over `cycles` intervals, after the rows have been learnt."""
    agent = [sys.executable, "-m", "tests.bench.agent", "--dead-every", str(DEAD_EVERY)]
    plan = daemon.Plan(devices=devices, interval_s=interval_s, columns=daemon.TEN)
    core, other = processes.cores()[0], processes.cores()[-1]
    with (
        tempfile.TemporaryDirectory(prefix="netopsd-capacity-", dir="/var/tmp") as tmp,
        processes.started(agent, other),
        daemon.running(daemon.write(Path(tmp), plan), core, 120) as running,
    ):
        running.until_polled(devices * 1.2, 3 * interval_s + 60)
        before, cpu, began = running.own(), running.cpu_s(), time.monotonic()
        time.sleep(cycles * interval_s)
        after, cpu, took = running.own(), running.cpu_s() - cpu, time.monotonic() - began
        kinds, rss = running.kinds(), running.rss_mb()
    dead = {f"d{i}" for i in range(devices) if i % DEAD_EVERY == DEAD_EVERY - 1}
    name = "netopsd_snmp_varbinds_total"
    values = after[name] - before[name]
    late = after["netopsd_poll_late_total"] - before["netopsd_poll_late_total"]
    return {
        "devices": devices, "interval_s": interval_s,
        "values_per_s": round(values / took),
        "wanted_per_s": round(devices * 480 / interval_s),
        "core_used": round(cpu / took, 3),
        "cpu_s_per_million_values": round(cpu / values * 1e6, 3),
        "looks_late": round(late),
        "lateness_p99_s": daemon.quantile(before, after, "netopsd_poll_lateness_seconds", 0.99),
        "rss_mb": round(rss),
        "unreachable_devices": len(kinds.get("device-unreachable", ())),
        "false_alarms": sum(
            len(found - dead if kind == "device-unreachable" else found)
            for kind, found in kinds.items()
        ),
    }  # fmt: skip
