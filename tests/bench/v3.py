"""What SNMPv3 costs over SNMPv2c: CPU seconds per million values of the whole daemon, the same
devices, columns and interval for each way to ask. Ways that are compared run at the same time, a
daemon each, so that what else the machine does is in all of them alike."""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench import daemon, farm
from tests.bench.poll import Size

# So few at once that the agent, which has one small socket buffer for all of them, loses none.
FEW = daemon.Plan.snmp + 'max_in_flight = 24\nrewalk = "1d"\n'
AUTH = f'version = "3"\nuser = "{farm.V3_USER}"\nauth = "SHA-1"\nauth_key = "{farm.V3_KEY}"\n'
PRIV = f'{AUTH}priv = "AES-128"\npriv_key = "{farm.V3_KEY}"\n'
MUST = 2.0


FULL = Size(devices=500, interval_s=5, warm_s=18, window_s=30)
QUICK = Size(devices=400, interval_s=5, warm_s=14, window_s=10)


def run(quick: bool = False) -> dict[str, Any]:
    """Return the cost of each way, and of SNMPv3 over SNMPv2c asked likewise."""
    size = QUICK if quick else FULL
    base = daemon.Plan(
        devices=size.devices, interval_s=size.interval_s, snmp=FEW, traps="enabled = false\n"
    )
    ways = {
        "v2c": base,
        "v3_auth_priv": replace(base, credentials=PRIV),
        "v3_auth_priv_gufo": replace(base, credentials=PRIV, engine="gufo"),
    }
    rows = measure(ways, size)
    cost = {name: row["cpu_s_per_million_values"] for name, row in rows.items()}
    ratio = round(cost["v3_auth_priv"] / cost["v2c"], 2)
    others: dict[str, Any] = {}
    if not quick:
        ways = {"v2c": base, "v3_auth_no_priv": replace(base, credentials=AUTH)}
        others = measure(ways, size)
    return {
        "devices": size.devices,
        "columns": len(farm.COLUMNS),
        "interval_s": size.interval_s,
        "ways": rows,
        "at_another_time": others,
        "v3_over_v2c": ratio,
        "v3_over_gufo": round(cost["v3_auth_priv"] / cost["v3_auth_priv_gufo"], 3),
        "must": MUST,
        "met": {"must": ratio <= MUST},
        "how": "a whole daemon for each way, three at the same time on the same snmpd in a network "
        "namespace: CPU of its process tree from /proc over the window, and the values it counted "
        "meanwhile; v3 is SHA-1 and AES-128; v2c and v3 are asked together, gufo device by device",
    }


def measure(ways: dict[str, daemon.Plan], size: Size) -> dict[str, dict[str, Any]]:
    """Return what each daemon costs once it knows the rows of every device."""
    with (
        tempfile.TemporaryDirectory(prefix="netopsd-v3-") as tmp,
        farm.agents(),
        contextlib.ExitStack() as ends,
    ):
        # Names say when in its interval a device is looked at: no two ways ask at the same time.
        ours = {
            name: ends.enter_context(
                daemon.running(daemon.write(Path(tmp) / name, replace(plan, name=name + "-{}")))
            )
            for name, plan in ways.items()
        }
        time.sleep(size.warm_s)
        before = {name: (each.own(), each.cpu_s()) for name, each in ours.items()}
        time.sleep(size.window_s)
        after = {name: (each.own(), each.cpu_s()) for name, each in ours.items()}
    return {name: _row(before[name], after[name], size) for name in ways}


def _row(
    before: tuple[dict[str, float], float], after: tuple[dict[str, float], float], size: Size
) -> dict[str, Any]:
    gained = {name: after[0][name] - value for name, value in before[0].items()}
    values, cpu = gained["netopsd_snmp_varbinds_total"], after[1] - before[1]
    looks = daemon.polled(after[0]) - daemon.polled(before[0])
    return {
        "cpu_s": round(cpu, 2),
        "cpu_s_per_million_values": round(cpu / values * 1e6, 3),
        "values_per_s": round(values / size.window_s),
        "looks_over_due": round(looks * size.interval_s / size.devices / size.window_s, 2),
        "packets_per_look": round(gained["netopsd_snmp_received_total"] / looks, 2),
        "timeouts": int(gained["netopsd_snmp_timeouts_total"]),
    }
