"""Whether a value costs the same whatever the number of devices: as many looks a second of 100,
1,000 and 10,000."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import daemon, processes

LOOKS_PER_S = 100


def run(quick: bool = False) -> dict[str, Any]:
    """Return the cost per value at each size, and the dearest over the cheapest."""
    sizes = (100, 200) if quick else (100, 1_000, 10_000)
    costs = {str(size): measure(size, 3 if quick else 60) for size in sizes}
    spread = round(max(costs.values()) / min(costs.values()), 3)
    return {
        "cpu_s_per_million_values": costs,
        "dearest_over_cheapest": spread,
        "must": 1.2,
        "met": {"must": spread <= 1.2},
        "how": f"{LOOKS_PER_S} looks a second of 48 ports x 4 columns at every size: only the "
        "number of devices grows; agents are the stub of the capacity row; rows are not learnt "
        "anew meanwhile, as how often that is done is a matter of time and not of devices",
    }


def measure(devices: int, window_s: float) -> float:
    """Return CPU seconds per million values."""
    interval_s = devices / LOOKS_PER_S
    plan = daemon.Plan(
        devices=devices, interval_s=interval_s, snmp='timeout = 0.3\nretries = 1\nrewalk = "1d"\n'
    )  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="netopsd-growth-", dir="/var/tmp") as tmp,
        processes.started([sys.executable, "-m", "tests.bench.agent"]),
        daemon.running(daemon.write(Path(tmp), plan), None, 120) as running,
    ):
        running.until_polled(devices * 2.2 + LOOKS_PER_S / 2, 3 * interval_s + 60)
        name = "netopsd_snmp_varbinds_total"
        values, cpu = running.own()[name], running.cpu_s()
        time.sleep(max(window_s, interval_s))
        values, cpu = running.own()[name] - values, running.cpu_s() - cpu
    return round(cpu / values * 1e6, 3)
