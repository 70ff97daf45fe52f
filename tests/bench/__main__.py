"""Every figure the project promises, measured on this machine.

    python -m tests.bench [ROW…] [--quick] [--json FILE]

Without ROW all of them. Runs in a network namespace of its own, so it needs root; as root on Debian
it installs the peers it compares with. With one ROW the JSON is that row's, else one object by row.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import traceback
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROWS = {
    "poll": "tests.bench.poll",
    "v3": "tests.bench.v3",
    "capacity": "tests.bench.capacity",
    "metrics": "tests.bench.metrics_text",
    "storm": "tests.bench.storm",
    "alarms": "tests.bench.alarm_rows",
    "reaction": "tests.bench.reaction",
    "start": "tests.bench.start",
    "growth": "tests.bench.growth",
    "store": "tests.bench.store_rows",
    "netconf": "tests.bench.netconf_rows",
}
NEEDS_NAMESPACE = {"poll", "v3", "capacity", "storm", "reaction", "start", "growth"}
SLOW = {"v3", "store", "netconf"}  # told by name only where it is to be quick
PEERS = {
    "snmpd": "snmpd",
    "snmpget": "snmp",
    "snmptrapd": "snmptrapd",
    "prometheus-snmp-exporter": "prometheus-snmp-exporter",
    "collectd": "collectd-core",
}


def main() -> int:
    """Run the rows asked for; 1 where one of them could not be measured."""
    parser = argparse.ArgumentParser(prog="tests.bench", description="measure netopsd")
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], metavar="ROW")
    parser.add_argument("--quick", action="store_true", help="smaller sizes: under two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    rows = args.rows or [row for row in ROWS if not (args.quick and row in SLOW)]
    if not prepare(rows):
        return 1
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        began = time.monotonic()
        load = os.getloadavg()[0]
        try:
            found[row] = import_module(ROWS[row]).run(args.quick)
        except Exception:  # noqa: BLE001  one row that cannot be measured does not stop the others
            traceback.print_exc()
            found[row] = {"failed": traceback.format_exc(limit=1).strip().splitlines()[-1]}
        if args.quick:  # the bars are of the full sizes
            found[row].pop("met", None)
        found[row] |= {"took_s": round(time.monotonic() - began, 1), "load_before": round(load, 1)}
        print(f"== {row}\n{json.dumps(found[row], indent=1)}", flush=True)
    told = {"quick": args.quick, "machine": machine()}
    result = {**found[rows[0]], **told} if len(rows) == 1 else {**told, "rows": found}
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if any("failed" in row for row in found.values()) else 0


def prepare(rows: list[str]) -> bool:
    """See to root, peers and the namespace; False, said in words, where that cannot be had."""
    if not NEEDS_NAMESPACE & set(rows):
        return True
    if os.geteuid() != 0:
        print("these rows run in a network namespace of their own: needs root", file=sys.stderr)
        return False
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    lacking = sorted({package for command, package in PEERS.items() if not shutil.which(command)})
    if lacking and shutil.which("apt-get"):
        print(f"installing peers: {' '.join(lacking)} …", flush=True)
        install(lacking)
    from tests.bench import farm

    farm.enter()
    return True


def install(packages: list[str]) -> None:
    """Install Debian packages whose servers must not start by themselves."""
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False)
        words = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
        subprocess.run(words, env=quiet, check=False, stdout=subprocess.DEVNULL)
    finally:
        if ours:
            policy.unlink()


def machine() -> dict[str, Any]:
    """Return what the figures are of: processor, kernel, versions, date."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    packages = ("numpy", "uvloop", "prometheus-client", "netopsd")
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%MZ}",
        "versions": {name: version(name) for name in packages} | peers(),
    }


def peers() -> dict[str, str]:
    """Return the versions of the Debian packages we compare with."""
    if not shutil.which("dpkg-query"):
        return {}
    said = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *sorted(set(PEERS.values()))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return dict(line.split(" ", 1) for line in said.stdout.splitlines() if line.count(" ") == 1)


if __name__ == "__main__":
    sys.exit(main())
