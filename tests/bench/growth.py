"""Whether a value costs the same whatever the number of devices: as many looks a second of 100,
1,000 and 10,000."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench import daemon, processes

LOOKS_PER_S = 100


def run(quick: bool = False) -> dict[str, Any]:
    """Return the cost per value at each size, and the dearest over the cheapest."""
    sizes = (100, 200) if quick else (100, 1_000, 10_000)
    costs = measure(sizes, 5 if quick else 120)
    spread = round(max(costs.values()) / min(costs.values()), 3)
    return {
        "cpu_s_per_million_values": costs,
        "dearest_over_cheapest": spread,
        "must": 1.2,
        "met": {"must": spread <= 1.2},
        "how": f"{LOOKS_PER_S} looks a second of 48 ports x 4 columns at every size: only the "
        "number of devices grows; a daemon for each size, all at once, so that each has the same "
        "machine; agents are the stub of the capacity row; rows are not learnt anew meanwhile, as "
        "how often that is done is a matter of time and not of devices",
    }


def measure(sizes: Sequence[int], window_s: float) -> dict[str, float]:
    """Return CPU seconds per million values, by number of devices."""
    with ExitStack() as stack:
        tmp = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="netopsd-growth-", dir="/var/tmp")
            )
        )
        stack.enter_context(processes.started([sys.executable, "-m", "tests.bench.agent"]))
        all_of_them: dict[int, daemon.Running] = {}
        for size in sizes:
            folder = daemon.write(tmp / str(size), plan(size))
            all_of_them[size] = stack.enter_context(daemon.running(folder, None, 120))
        # Twice each for its rows and numbers, and once more together.
        for size, one in all_of_them.items():
            one.until_polled(size * 2.2 + LOOKS_PER_S / 2, 3 * size / LOOKS_PER_S + 60)
        before = {size: (values(one), one.cpu_s()) for size, one in all_of_them.items()}
        time.sleep(max(window_s, max(sizes) / LOOKS_PER_S))
        after = {size: (values(one), one.cpu_s()) for size, one in all_of_them.items()}
    return {
        str(size): round((cpu - before[size][1]) / (got - before[size][0]) * 1e6, 3)
        for size, (got, cpu) in after.items()
    }


def plan(size: int) -> daemon.Plan:
    """Return what a daemon of so many devices is to watch."""
    return daemon.Plan(
        devices=size,
        interval_s=size / LOOKS_PER_S,
        snmp='timeout = 0.3\nretries = 1\nrewalk = "1d"\n',
        trap_port=11162 + size,
        # Every port of the stub has an error a minute: at one look a second that is a rate of 1,
        # and 4,800 alarms a minute for the smallest daemon alone.
        rules=daemon.RULES.replace("raise_above = 1.0", "raise_above = 10.0"),
    )


def values(one: daemon.Running) -> float:
    """Return how many values a daemon has read."""
    return one.own()["netopsd_snmp_varbinds_total"]
