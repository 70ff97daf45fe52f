"""What SNMPv3 costs over SNMPv2c: CPU seconds per million values of the whole daemon, the same
devices, columns and interval for each way to ask, one after the other on the same snmpd."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench import daemon, farm

# So few at once that the agent, which has one small socket buffer for all of them, loses none.
FEW = daemon.Plan.snmp + "max_in_flight = 32\n"
SINGLY = FEW + "sweep_devices = 0\n"  # as SNMPv3 devices are asked: by themselves
AUTH = f'version = "3"\nuser = "{farm.V3_USER}"\nauth = "SHA-1"\nauth_key = "{farm.V3_KEY}"\n'
PRIV = f'{AUTH}priv = "AES-128"\npriv_key = "{farm.V3_KEY}"\n'
MUST = 2.0


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many devices are asked how often, and how long that is measured once they are known."""

    devices: int
    interval_s: float
    warm_s: float
    window_s: float


FULL = Size(devices=400, interval_s=5, warm_s=14, window_s=20)
QUICK = Size(devices=300, interval_s=5, warm_s=9, window_s=6)


def run(quick: bool = False) -> dict[str, Any]:
    """Return the cost of each way, and of SNMPv3 over SNMPv2c asked likewise."""
    size = QUICK if quick else FULL
    base = daemon.Plan(devices=size.devices, interval_s=size.interval_s, snmp=FEW)
    ways = {
        "v2c_together": base,
        "v2c_singly": replace(base, snmp=SINGLY),
        "v3_auth_priv": replace(base, credentials=PRIV),
        "v3_auth_no_priv": replace(base, credentials=AUTH),
        "v3_auth_priv_gufo": replace(base, credentials=PRIV, engine="gufo"),
    }
    with farm.agents() as ports:
        rows = {name: measure(plan, size) for name, plan in ways.items()}
    cost = {name: row["cpu_s_per_million_values"] for name, row in rows.items()}
    ratio = round(cost["v3_auth_priv"] / cost["v2c_singly"], 2)
    return {
        "devices": size.devices,
        "ports": ports,
        "columns": len(farm.COLUMNS),
        "interval_s": size.interval_s,
        "ways": rows,
        "v3_over_v2c_singly": ratio,
        "v3_over_v2c_together": round(cost["v3_auth_priv"] / cost["v2c_together"], 2),
        "v3_over_gufo": round(cost["v3_auth_priv"] / cost["v3_auth_priv_gufo"], 3),
        "must": MUST,
        "met": {"must": ratio <= MUST},
        "how": "whole daemon, CPU of its process tree from /proc over the window and the values it "
        "counted meanwhile, each way one after the other on the same snmpd in a network namespace; "
        "v3 is SHA-1 and AES-128; singly: [snmp] sweep_devices = 0, as SNMPv3 devices are asked",
    }


def measure(plan: daemon.Plan, size: Size) -> dict[str, Any]:
    """Return what the daemon costs once it knows the rows of every device."""
    with (
        tempfile.TemporaryDirectory(prefix="netopsd-v3-") as tmp,
        daemon.running(daemon.write(Path(tmp), plan)) as ours,
    ):
        time.sleep(size.warm_s)
        name = "netopsd_snmp_varbinds_total"
        before, cpu, began = ours.own(), ours.cpu_s(), time.monotonic()
        time.sleep(size.window_s)
        after, cpu = ours.own(), ours.cpu_s() - cpu
        lost = "netopsd_snmp_timeouts_total"
        values = after[name] - before[name]
        looks = daemon.polled(after) - daemon.polled(before)
        due = size.devices * (time.monotonic() - began) / size.interval_s
    return {
        "cpu_s": round(cpu, 2),
        "cpu_s_per_million_values": round(cpu / values * 1e6, 3),
        "values_per_s": round(values / size.window_s),
        "looks_over_due": round(looks / due, 2),
        "timeouts": int(after[lost] - before[lost]),
    }
