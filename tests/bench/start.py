"""From exec to READY with 10,000 devices and 100,000 active alarms in the store."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from netopsd.core.beliefs import DeviceState, Phase, Reach
from netopsd.core.outcome import Outcome
from netopsd.store.sqlite import SqliteStore
from tests.bench import daemon, processes
from tests.bench.store_rows import T0, outcome

MUST_S, AIM_S = 5.0, 2.0


def run(quick: bool = False) -> dict[str, Any]:
    """Return the seconds of each start."""
    devices, alarms = (1_000, 10_000) if quick else (10_000, 100_000)
    with tempfile.TemporaryDirectory(prefix="netopsd-start-", dir="/var/tmp") as tmp:
        where = Path(tmp)
        plan = daemon.Plan(devices=devices, interval_s=300, name="gw-{:05}")
        daemon.write(where, plan)
        (where / "state").mkdir()
        asyncio.run(fill(where / "state" / "netopsd.db", devices, alarms))
        seconds = sorted(ready_s(where) for _ in range(1 if quick else 5))
    median = seconds[len(seconds) // 2]
    return {
        "devices": devices, "alarms": alarms, "ready_s": seconds, "median_s": median,
        "must": MUST_S, "aim": AIM_S, "met": {"must": median <= MUST_S, "aim": median <= AIM_S},
        "how": "wall time from exec to READY=1 on the notification socket",
    }  # fmt: skip


async def fill(path: Path, devices: int, alarms: int) -> None:
    """Write beliefs as a daemon would have left them."""
    store = SqliteStore(f"sqlite:///{path}")
    await store.open()
    names = [f"gw-{n:05}" for n in range(devices)]
    states = {name: DeviceState(name=name, reach=Reach.ANSWERING, since=T0) for name in names}
    await store.commit([Outcome(devices=states)], [])
    for first in range(0, alarms, 5000):
        group = [outcome(n, T0, Phase.ACTIVE) for n in range(first, first + 5000)]
        await store.commit(group, [])
    await store.close()


def ready_s(where: Path) -> float:
    """Start the daemon as a service manager does; return how long it took."""
    notify = str(where / "notify")
    Path(notify).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(notify)
        manager.settimeout(120)
        os.environ["NOTIFY_SOCKET"] = notify
        try:
            began = time.perf_counter()
            with processes.started(daemon.command(where), log=where / "daemon.log"):
                while b"READY=1" not in manager.recv(4096):
                    pass
                return round(time.perf_counter() - began, 2)
        finally:
            del os.environ["NOTIFY_SOCKET"]
