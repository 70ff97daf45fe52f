"""Nine real devices, recorded: each served as it was and watched by the real daemon."""

from __future__ import annotations

import bz2
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulators.session import running as simulated
from tests.e2e import daemon as d

WALKS = Path(__file__).parents[3] / "shared" / "data" / "walks"
RECORDED = sorted(WALKS.glob("*.snmprec.bz2"))
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not RECORDED, reason="the recorded walks (../shared/data/walks) are absent"),
]
IF_DESCR = "1.3.6.1.2.1.2.2.1.2."
LIARS = {"bdcom-s5612": "fdb", "h3c-e528-2": "mac"}  # and the table whose order they get wrong
TABLES = """
[[table]]
name = "fdb"
index = "fdbEntry"
column = [{ name = "dot1qTpFdbPort", oid = "1.3.6.1.2.1.17.7.1.2.2.1.2", kind = "gauge" }]
[[table]]
name = "mac"
index = "macEntry"
row = ["hh3cMac"]
column = [{ name = "hh3cMac", oid = "1.3.6.1.4.1.25506.8.35.3.1.1.1", kind = "text", label = true }]
"""
NETOPSD = """
[state]
directory = "state"
[traps]
enabled = false
[snmp]
timeout = "1s"
look_max = "20s"
walk_max = "20s"
[[sink]]
kind = "office"
name = "office"
"""
RULES = """
[[threshold]]
alarm = "link-down"
table = "if"
column = "ifOperStatus"
bad = [2, 7]
only_when = { ifAdminStatus = 1 }
"""


def interfaces(recording: Path) -> dict[str, str]:
    """Return ifIndex and ifDescr of every interface in a recording."""
    found = {}
    with bz2.open(recording, "rt", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            oid, kind, value = (*line.rstrip("\n").split("|", 2), "", "")[:3]
            if oid.startswith(IF_DESCR):
                text = bytes.fromhex(value).decode() if kind.endswith("x") else value
                found[oid.removeprefix(IF_DESCR)] = text.rstrip("\0")
    return found


@pytest.fixture(scope="module")
def lab() -> Iterator[d.Daemon]:
    """All recordings as devices, and a daemon that has looked at each."""
    names = [path.name.removesuffix(".snmprec.bz2") for path in RECORDED]
    scenario = '[network]\ncommunity = "e2e"\n' + "".join(
        f'[[device]]\nname = "{name}"\naddress = "127.32.0.{n}"\nreplay = "{path}"\n'
        for n, (name, path) in enumerate(zip(names, RECORDED, strict=True), start=1)
    )
    with (
        tempfile.TemporaryDirectory(prefix="r-") as folder,
        simulated(scenario, Path(folder), wait_s=90) as network,
    ):
        devices = (
            f'[defaults]\ncredentials = "e2e"\nport = {network.port}\ninterval = "5s"\n'
            'tables = ["system", "if"]\n[credentials.e2e]\nversion = "2c"\ncommunity = "e2e"\n'
        ) + "".join(
            f'[[device]]\nname = "{name}"\naddress = "127.32.0.{n}"\n'
            + (f'tables = ["system", "if", "{LIARS[name]}"]\n' if name in LIARS else "")
            for n, name in enumerate(names, start=1)
        )
        files = {"netopsd.toml": NETOPSD, "devices.toml": devices, "rules.toml": RULES,
                 "services.toml": "", "customers.toml": ""}  # fmt: skip
        config = d.write_config(Path(folder) / "config", files)
        with (config / "tables.toml").open("a") as tables:
            tables.write(TABLES)
        with d.running(config) as daemon:
            d.until(
                lambda: all(daemon.value("netopsd_device_up", device=name) == 1 for name in names),
                60,
                lambda: str(daemon.api("devices")),
                0.5,
            )
            yield daemon


def test_all_their_interfaces_are_in_the_metrics(lab: d.Daemon) -> None:
    shown: dict[str, dict[str, str]] = {}
    for name, labels, _ in lab.samples("network"):
        if name == "ifOperStatus":
            shown.setdefault(labels["device"], {})[labels["ifIndex"]] = labels["ifDescr"]
    for recording in RECORDED:
        device = recording.name.removesuffix(".snmprec.bz2")
        recorded = interfaces(recording)
        assert len(recorded) > 20
        assert shown[device] == recorded, device
    print({device: len(rows) for device, rows in shown.items()})


def test_the_liars_are_bounded_and_counted_and_cost_nobody_anything(lab: d.Daemon) -> None:
    figures = {
        labels.get("result", name): value
        for name, labels, value in lab.samples("own")
        if name == "netopsd_polls_total"
    }
    assert figures["partial"] >= len(LIARS)
    assert figures["ok"] >= len(RECORDED) - len(LIARS)
    assert figures["unreachable"] == figures["malformed"] == 0
    for device, table in LIARS.items():
        said = poll(lab, device)
        reasons = {where: why for where, why in said["errors"].items() if where.startswith(table)}
        assert reasons, said["errors"]
        assert all("not increasing" in why for why in reasons.values()), reasons
    reached = {one["name"]: one["reach"] for one in lab.api("devices")}
    assert set(reached.values()) == {"answering"}


def poll(lab: d.Daemon, device: str) -> dict[str, Any]:
    """One look by the command line, as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "netopsd", "poll", device, "--config", str(lab.config), "--json"],
        check=False, capture_output=True, text=True, timeout=60, cwd=d.ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said
